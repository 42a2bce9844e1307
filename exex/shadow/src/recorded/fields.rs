//! Typed access to JSON, so that every error names the key.
//!
//! Numbers are accepted in every form that nodes and tools write: hex strings, decimal strings and
//! JSON numbers. A `null` counts as absent.

use super::error::Problem;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use serde_json::{Map, Value};
use std::{fmt::LowerHex, str::FromStr};

/// A JSON object and where in the document it is.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
}

/// A value that JSON can hold.
pub(super) trait FromJson: Sized {
    /// For error messages.
    const EXPECTED: &'static str;
    /// `None` where the value is something else.
    fn from_json(value: &Value) -> Option<Self>;
}

impl<'a> Fields<'a> {
    pub(super) fn new(value: &'a Value, path: impl Into<String>) -> Result<Self, Problem> {
        let path = path.into();
        match value.as_object() {
            Some(object) => Ok(Self { object, path }),
            None => Err(Problem::Malformed { key: path, expected: "an object" }),
        }
    }

    /// The value under `key`, if there is one that is not `null`.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.object.iter()
    }

    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn missing(&self, key: &str) -> Problem {
        Problem::Missing { key: self.path(key) }
    }

    pub(super) fn malformed(&self, key: &str, expected: &'static str) -> Problem {
        Problem::Malformed { key: self.path(key), expected }
    }

    pub(super) fn optional<T: FromJson>(&self, key: &str) -> Result<Option<T>, Problem> {
        self.value(key)
            .map(|value| T::from_json(value).ok_or_else(|| self.malformed(key, T::EXPECTED)))
            .transpose()
    }

    pub(super) fn required<T: FromJson>(&self, key: &str) -> Result<T, Problem> {
        self.optional(key)?.ok_or_else(|| self.missing(key))
    }

    /// The object under `key`.
    pub(super) fn object(&self, key: &str) -> Result<Option<Fields<'a>>, Problem> {
        self.value(key).map(|value| Fields::new(value, self.path(key))).transpose()
    }

    /// Parses each item of the list under `key`; its path names its index.
    pub(super) fn list<T>(
        &self,
        key: &str,
        mut parse: impl FnMut(&'a Value, String) -> Result<T, Problem>,
    ) -> Result<Option<Vec<T>>, Problem> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let items = value.as_array().ok_or_else(|| self.malformed(key, "a list"))?;
        let parsed = items
            .iter()
            .enumerate()
            .map(|(index, item)| parse(item, format!("{}[{index}]", self.path(key))));
        parsed.collect::<Result<_, _>>().map(Some)
    }

    /// The list of plain values under `key`.
    pub(super) fn values<T: FromJson>(&self, key: &str) -> Result<Option<Vec<T>>, Problem> {
        self.list(key, |item, path| {
            T::from_json(item).ok_or(Problem::Malformed { key: path, expected: T::EXPECTED })
        })
    }
}

/// A number in any of its forms.
pub(super) fn parse_number(text: &str) -> Option<U256> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    if digits.is_empty() {
        return None;
    }
    U256::from_str_radix(digits, radix).ok()
}

/// The hex form of a number, as nodes write it.
pub(super) fn hex(number: impl LowerHex) -> Value {
    Value::String(format!("{number:#x}"))
}

impl FromJson for U256 {
    const EXPECTED: &'static str = "a number";
    fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_u64().map(Self::from),
            Value::String(text) => parse_number(text),
            _ => None,
        }
    }
}

impl FromJson for u64 {
    const EXPECTED: &'static str = "a number of at most 64 bits";
    fn from_json(value: &Value) -> Option<Self> {
        U256::from_json(value)?.try_into().ok()
    }
}

impl FromJson for u128 {
    const EXPECTED: &'static str = "a number of at most 128 bits";
    fn from_json(value: &Value) -> Option<Self> {
        U256::from_json(value)?.try_into().ok()
    }
}

impl FromJson for bool {
    const EXPECTED: &'static str = "true or false";
    fn from_json(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

macro_rules! from_hex {
    ($($kind:ty: $expected:literal),* $(,)?) => {$(
        impl FromJson for $kind {
            const EXPECTED: &'static str = $expected;
            fn from_json(value: &Value) -> Option<Self> {
                value.as_str().and_then(|text| Self::from_str(text).ok())
            }
        }
    )*};
}

from_hex! {
    B256: "32 bytes in hex",
    B64: "8 bytes in hex",
    Bloom: "256 bytes in hex",
    Address: "an address",
    Bytes: "bytes in hex",
}
