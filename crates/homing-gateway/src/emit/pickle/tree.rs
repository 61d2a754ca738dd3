//! From the arena to a [`Value`]: finds what contains itself, is too deep, or would be too much once written out.

use std::sync::Arc;

use super::{super::value::Value, Limits, What, machine::too_many};

/// An entry of the arena. A dict has its keys and values in turn.
pub(super) enum Node {
    Leaf(Value),
    List(Vec<u32>),
    Tuple(Vec<u32>),
    Dict(Vec<u32>),
}

enum State {
    New,
    /// Its children are being looked at.
    Open,
    Done(Done),
}

#[derive(Clone)]
struct Done {
    value: Value,
    /// Levels of containers.
    height: u32,
    /// Values and bytes of text when everything shared is written out.
    values: u64,
    text: u64,
}

/// The value at `root`. Children are built before their parents, so a shared container is built once and shared again.
pub(super) fn build(nodes: &[Node], root: u32, limits: &Limits) -> Result<Value, What> {
    let mut states: Vec<State> = nodes.iter().map(|_| State::New).collect();
    // From the root down to what is being looked at, each with its next child.
    let mut path: Vec<(u32, usize)> = vec![(root, 0)];
    loop {
        let Some((index, next)) = path.last_mut() else { return Err("the stack is empty".into()) };
        let index = *index;
        let children = children(nodes, index);
        let (Some(state), node) = (states.get(index as usize), nodes.get(index as usize)) else {
            return Err("the arena ends".into());
        };
        if let (State::New, Some(node)) = (state, node) {
            if !matches!(node, Node::Leaf(_)) && path.len() > limits.depth as usize {
                return Err(format!("nested deeper than {} levels, or inside itself", limits.depth).into());
            }
            set(&mut states, index, State::Open);
            continue;
        }
        if let Some(&child) = children.get(*next) {
            *next += 1;
            match states.get(child as usize) {
                Some(State::New) => path.push((child, 0)),
                Some(State::Open) => return Err("a container that contains itself".into()),
                _ => {}
            }
            continue;
        }
        let done = finish(nodes, &states, index, limits)?;
        path.pop();
        if path.is_empty() {
            return Ok(done.value);
        }
        set(&mut states, index, State::Done(done));
    }
}

fn set(states: &mut [State], index: u32, to: State) {
    if let Some(state) = states.get_mut(index as usize) {
        *state = to;
    }
}

fn children(nodes: &[Node], index: u32) -> &[u32] {
    match nodes.get(index as usize) {
        Some(Node::List(items) | Node::Tuple(items) | Node::Dict(items)) => items,
        _ => &[],
    }
}

/// A node whose children are done.
fn finish(nodes: &[Node], states: &[State], index: u32, limits: &Limits) -> Result<Done, What> {
    let node = nodes.get(index as usize).ok_or("the arena ends")?;
    if let Node::Leaf(value) = node {
        let text = match value {
            Value::Str(text) | Value::Big(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        return Ok(Done { value: value.clone(), height: 0, values: 1, text: text as u64 });
    }
    let (mut height, mut values, mut text) = (0, 1_u64, 0_u64);
    let mut items = Vec::new();
    for child in children(nodes, index) {
        let Some(State::Done(done)) = states.get(*child as usize) else { return Err("a child is missing".into()) };
        height = height.max(done.height);
        values = values.saturating_add(done.values);
        text = text.saturating_add(done.text);
        items.push(done.value.clone());
    }
    if height >= limits.depth {
        return Err(format!("nested deeper than {} levels", limits.depth).into());
    }
    if values > limits.values {
        return Err(too_many(limits));
    }
    if text > limits.text {
        return Err(format!("more than {} bytes of text", limits.text).into());
    }
    let value = match node {
        Node::Tuple(_) => Value::Tuple(items.into()),
        Node::Dict(_) => {
            let mut items = items.into_iter();
            let pairs: Vec<_> = std::iter::from_fn(|| items.next().zip(items.next())).collect();
            Value::Dict(Arc::from(pairs))
        }
        _ => Value::List(items.into()),
    };
    Ok(Done { value, height: height + 1, values, text })
}
