//! The body as objects, texts and numbers: no more of JSON than an event can use.
//!
//! A key given twice in any object, and nesting deeper than serde_json's limit, are errors. Numbers that
//! matter are kept as the digits that were sent, so no binary fraction rounds them.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{EventError, fields, values::excerpt};

/// A JSON value.
pub(super) enum Node<'a> {
    Null,
    Text(Cow<'a, str>),
    /// The literal of a number under a numeric field's name.
    Number(&'a str),
    Object(Object<'a>),
    /// What no field takes: a boolean, a list, a number elsewhere.
    Other,
}

/// A JSON object; its keys are unique.
#[derive(Default)]
pub(super) struct Object<'a>(BTreeMap<String, Node<'a>>);

impl<'a> Object<'a> {
    /// The value under `key`; null is absent.
    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.0.get(key).filter(|node| !matches!(node, Node::Null))
    }

    /// The object under `key`; anything else is absent.
    pub(super) fn object(&self, key: &str) -> Option<&Self> {
        match self.get(key) {
            Some(Node::Object(object)) => Some(object),
            _ => None,
        }
    }
}

/// The body, which has to be one JSON object and nothing after it.
pub(super) fn parse(body: &[u8]) -> Result<Object<'_>, EventError> {
    let mut repeated = None;
    let result = read(body, Reader { repeated: &mut repeated, literals: true });
    match (result, repeated) {
        (Ok(Node::Object(object)), _) => Ok(object),
        (Ok(_), _) => Err(EventError::new("body", "must be a JSON object")),
        (Err(_), Some(key)) if key.is_empty() => {
            Err(EventError::new("body", "a key without a name is given more than once"))
        }
        (Err(_), Some(key)) => Err(EventError::new(key, "given more than once")),
        (Err(error), None) => Err(EventError::new("body", format!("not JSON: {error}"))),
    }
}

fn read<'de>(json: &'de [u8], reader: Reader<'_>) -> serde_json::Result<Node<'de>> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let node = reader.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(node)
}

/// Reads one value; borrows from the body where it can.
struct Reader<'r> {
    /// Set to the key that stopped the reading because it was there already.
    repeated: &'r mut Option<String>,
    /// Whether to keep the literals of numeric fields. Off inside the value of such a field: that is wrong
    /// anyway, and reading it afresh again and again would get around the limit on nesting.
    literals: bool,
}

impl Reader<'_> {
    fn inner(&mut self) -> Reader<'_> {
        Reader { repeated: &mut *self.repeated, literals: self.literals }
    }

    /// The value of a numeric field: a number as it is written, anything else as everywhere.
    fn literal<'de, E: de::Error>(&mut self, raw: &'de RawValue) -> Result<Node<'de>, E> {
        let json = raw.get();
        if json.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Ok(Node::Number(json));
        }
        read(json.as_bytes(), Reader { literals: false, ..self.inner() }).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Node<'de>, A::Error> {
        while items.next_element_seed(self.inner())?.is_some() {}
        Ok(Node::Other)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let mut object = Object::default();
        while let Some(key) = entries.next_key::<String>()? {
            if object.0.contains_key(&key) {
                *self.repeated = Some(excerpt(&key));
                return Err(de::Error::custom("a key is given more than once"));
            }
            let value = if self.literals && fields::is_numeric(&key) {
                self.literal(entries.next_value()?)?
            } else {
                entries.next_value_seed(self.inner())?
            };
            object.0.insert(key, value);
        }
        Ok(Node::Object(object))
    }
}
