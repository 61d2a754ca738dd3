//! Layer upon layer.

use toml::{Table, Value};

use super::{
    layer::Layer,
    origin::{Origins, Path},
    secrets::SecretKeys,
};

/// Lays `over` on `base`: tables merge deeply, arrays and scalars replace. A secret and the name of its file are one
/// setting in two forms, so either replaces the other.
pub(super) fn merge(base: &mut Layer, over: Layer, secrets: &SecretKeys) {
    base.origins.merge(&[], &over.origins);
    let mut merge = Merge { base: &mut base.origins, over: &over.origins, secrets };
    merge.tables(&mut base.table, over.table, &mut Path::new());
}

struct Merge<'a> {
    base: &'a mut Origins,
    over: &'a Origins,
    secrets: &'a SecretKeys,
}

impl Merge<'_> {
    fn tables(&mut self, base: &mut Table, over: Table, path: &mut Path) {
        for (key, value) in over {
            if let Some(twin) = self.secrets.twin(&key) {
                path.push(twin.clone());
                base.remove(&twin);
                self.base.remove(path);
                path.pop();
            }
            path.push(key.clone());
            match (base.get_mut(&key), value) {
                (Some(Value::Table(base)), Value::Table(over)) => {
                    self.base.merge(path, self.over);
                    self.tables(base, over, path);
                }
                (_, value) => {
                    self.base.replace(path, self.over);
                    base.insert(key, value);
                }
            }
            path.pop();
        }
    }
}
