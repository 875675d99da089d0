//! Just enough JSON to write. May import: nothing of this crate.

use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Nothing known.
    Null,
    /// A count.
    Count(u64),
    /// A measure; `null` where it isn't finite.
    Number(f64),
    /// Yes or no.
    Bool(bool),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Named values in the order given.
    Object(Vec<(&'static str, Json)>),
    /// The same, of names that a file gives.
    Map(Vec<(String, Json)>),
}

impl Json {
    /// A list of whatever can be a value.
    pub fn list<T: Into<Json>>(items: impl IntoIterator<Item = T>) -> Json {
        Json::List(items.into_iter().map(Into::into).collect())
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.into())
    }
}

impl From<bool> for Json {
    fn from(yes: bool) -> Json {
        Json::Bool(yes)
    }
}

impl From<u64> for Json {
    fn from(count: u64) -> Json {
        Json::Count(count)
    }
}

impl From<usize> for Json {
    fn from(count: usize) -> Json {
        Json::Count(count as u64)
    }
}

impl From<u32> for Json {
    fn from(count: u32) -> Json {
        Json::Count(u64::from(count))
    }
}

impl From<f32> for Json {
    /// The shortest number that is this one as f32.
    fn from(number: f32) -> Json {
        number.to_string().parse().map_or(Json::Null, Json::Number)
    }
}

impl From<f64> for Json {
    fn from(number: f64) -> Json {
        Json::Number(number)
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Into::into)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Count(count) => write!(f, "{count}"),
            Json::Bool(yes) => write!(f, "{yes}"),
            Json::Number(number) if number.is_finite() => write!(f, "{number:?}"),
            Json::Number(_) => f.write_str("null"),
            Json::Text(text) => string(f, text),
            Json::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Json::Object(fields) => object(f, fields.iter().map(|(name, value)| (*name, value))),
            Json::Map(fields) => object(f, fields.iter().map(|(name, value)| (name.as_str(), value))),
        }
    }
}

fn object<'a>(f: &mut fmt::Formatter<'_>, fields: impl Iterator<Item = (&'a str, &'a Json)>) -> fmt::Result {
    f.write_str("{")?;
    for (i, (name, value)) in fields.enumerate() {
        f.write_str(if i == 0 { "" } else { ", " })?;
        string(f, name)?;
        write!(f, ": {value}")?;
    }
    f.write_str("}")
}

fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_can_read_it() {
        let json = Json::Object(vec![
            ("text", "a \"quoted\" \\ line\n\u{7f}é".into()),
            ("numbers", Json::list([1.5, -0.25, 1e300, f64::NAN])),
            ("count", u64::MAX.into()),
            ("nothing", None::<u64>.into()),
            ("short", 0.1f32.into()),
            ("map", Json::Map(vec![("a\"b".into(), true.into())])),
        ]);
        let read: serde_json::Value = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(read["text"], "a \"quoted\" \\ line\n\u{7f}é");
        assert_eq!(read["numbers"][2], 1e300);
        assert!(read["numbers"][3].is_null() && read["nothing"].is_null());
        assert_eq!(read["count"], u64::MAX);
        assert_eq!((&read["short"], &read["map"]["a\"b"]), (&0.1.into(), &true.into()));
    }
}
