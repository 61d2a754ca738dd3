//! Metrics of emitters.

use metrics::{counter, gauge};

use super::{
    command::{Command, Ignored},
    sink::State,
};
use crate::topic::Room;

const COMMANDS: &str = "homing_gateway_emitter_commands_total";
const IGNORED: &str = "homing_gateway_emitter_ignored_total";
const NUMBERS: &str = "homing_gateway_emitter_number_rooms_total";
const PUBLICATIONS: &str = "homing_gateway_emitter_publications_total";
const BAD: &str = "homing_gateway_emitter_bad_total";
const LOST: &str = "homing_gateway_emitter_lost_total";
const UP: &str = "homing_gateway_emitter_up";
const ANSWERS: &str = "homing_gateway_emitter_answers_total";

pub(super) fn command(source: &str, command: &Command) {
    let source = source.to_owned();
    counter!(COMMANDS, "source" => source.clone(), "kind" => command.kind()).increment(1);
    match command {
        Command::Ignored { why, .. } => ignored(source, *why),
        // They reach nobody unless the rooms of clients are numbers, which those of claims never are.
        Command::Emit { rooms, .. } if rooms.to.iter().any(|room| matches!(room, Room::Number(_))) => {
            counter!(NUMBERS, "source" => source).increment(1);
        }
        _ => {}
    }
}

fn ignored(source: String, why: Ignored) {
    counter!(IGNORED, "source" => source, "why" => why.name()).increment(1);
}

pub(super) fn publication(source: &str) {
    counter!(PUBLICATIONS, "source" => source.to_owned()).increment(1);
}

pub(super) fn bad(source: &str) {
    counter!(BAD, "source" => source.to_owned()).increment(1);
}

/// Messages that were heard and dropped, because the node could not keep up.
pub(super) fn lost(source: &str, messages: u64) {
    counter!(LOST, "source" => source.to_owned()).increment(messages);
}

pub(super) fn state(name: &str, state: &State) {
    gauge!(UP, "source" => name.to_owned()).set(if *state == State::Up { 1.0 } else { 0.0 });
}

/// An acknowledgement that went back to an emitter, or did not.
pub(super) fn answer(source: &str, sent: bool) {
    counter!(ANSWERS, "source" => source.to_owned(), "outcome" => if sent { "sent" } else { "failed" }).increment(1);
}
