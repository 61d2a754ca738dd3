//! Ids and values between text and BSON, for lookups and enumerators.

use mongodb::bson::{Bson, Document, doc, oid::ObjectId, spec::BinarySubtype, uuid::Uuid};
use serde_json::{Map, Value as Json};

/// Every form that an id with this text may have in a document. MongoDB compares only within a type, so all are asked for;
/// numbers are one type to it.
pub(crate) fn forms(id: &str) -> Vec<Bson> {
    let mut forms = vec![Bson::String(id.to_owned())];
    if let Ok(n) = id.parse::<i64>()
        && n.to_string() == id
    {
        forms.push(Bson::Int64(n));
    }
    if let Ok(oid) = ObjectId::parse_str(id)
        && oid.to_hex() == id
    {
        forms.push(Bson::ObjectId(oid));
    }
    if id.len() == 36
        && let Ok(uuid) = Uuid::parse_str(id)
        && uuid.to_string() == id
    {
        forms.push(Bson::from(uuid));
    }
    forms
}

/// An id as text: texts, whole numbers, ObjectIds and UUIDs; `None` for anything else.
pub(crate) fn id(value: &Bson) -> Option<String> {
    match value {
        Bson::String(text) => Some(text.clone()),
        Bson::ObjectId(id) => Some(id.to_hex()),
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => {
            text(value).filter(|text| text.parse::<i64>().is_ok())
        }
        Bson::Binary(binary) if binary.subtype == BinarySubtype::Uuid => {
            Some(Uuid::from_bytes(binary.bytes.clone().try_into().ok()?).to_string())
        }
        _ => None,
    }
}

/// A value as text: `true` and `false`, dates in seconds since 1970, documents and lists as JSON; `None` for null.
pub(crate) fn text(value: &Bson) -> Option<String> {
    Some(match value {
        Bson::Null | Bson::Undefined => return None,
        Bson::String(text) | Bson::Symbol(text) => text.clone(),
        Bson::Boolean(yes) => yes.to_string(),
        Bson::Int32(n) => n.to_string(),
        Bson::Int64(n) => n.to_string(),
        Bson::Double(n) => n.to_string(),
        Bson::Decimal128(n) => n.to_string(),
        Bson::ObjectId(id) => id.to_hex(),
        Bson::DateTime(at) => {
            let (sign, millis) =
                (if at.timestamp_millis() < 0 { "-" } else { "" }, at.timestamp_millis().unsigned_abs());
            let (seconds, millis) = (millis / 1_000, millis % 1_000);
            if millis == 0 { format!("{sign}{seconds}") } else { format!("{sign}{seconds}.{millis:03}") }
        }
        Bson::Binary(_) => id(value).unwrap_or_else(|| json(value)),
        other => json(other),
    })
}

/// Extended JSON.
pub(crate) fn json(value: &Bson) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

/// A configured filter. Extended JSON stands for the types that TOML does not have.
pub(crate) fn filter(config: &Map<String, Json>) -> Result<Document, String> {
    let json = Json::Object(config.clone());
    if json.to_string().contains("$__toml_private_datetime") {
        return Err("a date is written { \"$date\" = \"2026-11-21T00:00:00Z\" }".to_owned());
    }
    match serde_json::from_value::<Bson>(json) {
        Ok(Bson::Document(filter)) => Ok(filter),
        Ok(_) => Err("is no table of conditions".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A path that MongoDB takes for one.
pub(crate) fn is_path(path: &str) -> bool {
    !path.split('.').any(|part| part.is_empty() || part.starts_with('$') || part.contains('\0'))
}

/// Both conditions; an empty filter is none.
pub(crate) fn and(filter: &Document, condition: Document) -> Document {
    if filter.is_empty() {
        condition
    } else {
        doc! { "$and": [filter.clone(), condition] }
    }
}

/// What has to come along for these paths. One inside another comes with it; naming both is an error to MongoDB.
pub(crate) fn projection<'a>(paths: impl Iterator<Item = &'a str>) -> Document {
    let paths: Vec<&str> = paths.collect();
    let inside = |path: &str, other: &str| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
    let mut projection = doc! { "_id": 1 };
    for path in &paths {
        if !paths.iter().any(|other| inside(path, other)) && !path.starts_with("_id.") {
            projection.insert(*path, 1);
        }
    }
    projection
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::DateTime;

    #[test]
    fn an_id_has_every_form_that_prints_as_it() {
        let count = |id: &str| forms(id).len();
        assert_eq!(count("42"), 2);
        assert_eq!(count("-7"), 2);
        for text in ["bob", "042", "+1", "1.0", " 1", "18446744073709551616", "0F744707BEBCF74F9B7C25D4", ""] {
            assert_eq!(count(text), 1, "{text}");
        }
        assert_eq!(count("0f744707bebcf74f9b7c25d4"), 2);
        assert_eq!(count("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), 2);
        for form in ["42", "bob", "0f744707bebcf74f9b7c25d4", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"] {
            assert!(forms(form).iter().all(|bson| id(bson).as_deref() == Some(form)), "{form}");
        }
        assert_eq!(id(&Bson::Double(42.0)).as_deref(), Some("42"));
        assert_eq!(id(&Bson::Double(42.5)), None);
        assert_eq!(id(&Bson::Boolean(true)), None);
    }

    #[test]
    fn values_become_text() {
        let date = |millis| text(&Bson::DateTime(DateTime::from_millis(millis))).unwrap_or_default();
        assert_eq!(
            (date(1_447_212_345_000), date(1_500), date(-1)),
            ("1447212345".into(), "1.500".into(), "-0.001".into())
        );
        assert_eq!(text(&Bson::Boolean(true)).as_deref(), Some("true"));
        assert_eq!(text(&Bson::Null), None);
        assert_eq!(text(&Bson::Array(vec![1.into(), "a".into()])).as_deref(), Some(r#"[1,"a"]"#));
    }

    #[test]
    fn a_projection_names_no_path_twice() {
        let keys = |paths: &[&str]| projection(paths.iter().copied()).keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&["a.b", "a", "a.c", "x"]), ["_id", "a", "x"]);
        assert_eq!(keys(&["_id.n", "ab", "a"]), ["_id", "ab", "a"]);
    }
}
