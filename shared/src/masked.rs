//! Personal data that masks itself wherever it is shown.

use std::fmt;

use serde::{Serialize, Serializer};

/// An e-mail address, as it stands in the database.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

/// A kind of personal data that has a masked form.
pub trait PersonalData {
    /// The form that may be shown to anyone.
    fn masked(&self) -> String;
    /// The value itself.
    fn plain(&self) -> &str;
}

impl From<String> for Email {
    fn from(address: String) -> Self {
        Self(address)
    }
}

impl PersonalData for Email {
    /// `a***@e***.com`: enough to recognise an address one knows, not enough to learn one.
    fn masked(&self) -> String {
        let Some((local, domain)) = self.0.rsplit_once('@') else {
            return "***".to_owned();
        };
        let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
        match domain.rsplit_once('.') {
            // a top level is a short word; anything else may be more than that
            Some((name, top)) if top.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                format!("{}***@{}***.{top}", first(local), first(name))
            }
            _ => format!("{}***@***", first(local)),
        }
    }

    fn plain(&self) -> &str {
        &self.0
    }
}

/// A value of a row, as JSON shows it: what a person may have written is hidden.
#[derive(Clone, PartialEq, Eq)]
pub struct RowValue {
    column: String,
    text: String,
    is_text: bool,
    is_shared: bool,
}

/// A number with so many digits says nothing about anyone.
const SHORT_NUMBER: usize = 4;

impl RowValue {
    /// A value of the column of this name.
    pub fn new(column: &str, value: &serde_json::Value) -> Self {
        let text = match value {
            // a moment to the second, always as wide
            serde_json::Value::String(text) => text.parse::<jiff::Timestamp>().map_or_else(
                |_| text.clone(),
                |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            ),
            other => other.to_string(),
        };
        Self {
            column: column.to_owned(),
            text,
            // a long number may be a telephone's
            is_text: !(value.is_null()
                || value.is_boolean()
                || (value.is_number() && value.to_string().len() <= SHORT_NUMBER)),
            is_shared: false,
        }
    }

    /// An id, a date, or what the definition chooses from a list.
    fn is_harmless(&self) -> bool {
        !self.is_text
            || (self.is_shared && !self.text.contains('@'))
            || self.column == "account_type"
            || uuid::Uuid::try_parse(&self.text).is_ok()
            || self.text.parse::<jiff::Timestamp>().is_ok()
            || self.text.is_empty()
    }
}

impl PersonalData for RowValue {
    fn masked(&self) -> String {
        if self.is_harmless() {
            self.text.clone()
        } else if self.text.contains('@') {
            Email(self.text.clone()).masked()
        } else {
            "***".to_owned()
        }
    }

    fn plain(&self) -> &str {
        &self.text
    }
}

/// Personal data that shows, prints and serialises in its masked form only; [`Masked::reveal`] is the one way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Masked<T>(T);

impl<T: PersonalData> Masked<T> {
    /// Takes a value into protection.
    pub fn new(value: impl Into<T>) -> Self {
        Self(value.into())
    }

    /// The value itself, for a person who asked for it.
    pub fn reveal(&self) -> &str {
        self.0.plain()
    }
}

impl Masked<RowValue> {
    /// Lets a value be shown that the rows of several people have in common.
    pub(crate) fn share(&mut self) {
        self.0.is_shared = true;
    }
}

impl<T: PersonalData> fmt::Display for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.masked())
    }
}

impl<T: PersonalData> fmt::Debug for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masked({})", self.0.masked())
    }
}

impl<T: PersonalData> Serialize for Masked<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(address: &str) -> String {
        Masked::<Email>::new(address.to_owned()).to_string()
    }

    #[test]
    fn an_address_keeps_initials_and_top_level_domain() {
        assert_eq!(shown("ada@example.com"), "a***@e***.com");
        assert_eq!(shown("ada@localhost"), "a***@***");
        assert_eq!(shown("ada@x.\u{1b}[31mred"), "a***@***");
    }

    #[test]
    fn what_is_no_address_is_hidden_whole() {
        assert_eq!(shown("ada"), "***");
        assert_eq!(shown(""), "***");
        assert_eq!(shown("@"), "***@***");
    }

    #[test]
    fn of_a_row_only_ids_dates_and_choices_are_shown() {
        let shown = |column: &str, value: serde_json::Value| {
            Masked::<RowValue>::new(RowValue::new(column, &value)).to_string()
        };
        use serde_json::json;
        for (column, value, wanted) in [
            ("email", json!("ada@example.com"), "a***@e***.com"),
            ("full_name", json!("Ada"), "***"),
            ("phone", json!("+15550100"), "***"),
            ("links", json!(["https://ada"]), "***"),
            ("settings", json!({"name": "Ada"}), "***"),
            ("account_type", json!("sme"), "sme"),
            (
                "id",
                json!("7d444840-9dc0-11d1-b245-5ffdce74fad2"),
                "7d444840-9dc0-11d1-b245-5ffdce74fad2",
            ),
            (
                "created_at",
                json!("2026-11-24T10:00:00+00:00"),
                "2026-11-24 10:00:00Z",
            ),
            ("is_admin", json!(false), "false"),
            ("points", json!(12), "12"),
            ("phone", json!(15_550_100), "***"),
        ] {
            assert_eq!(shown(column, value), wanted, "{column}");
        }
    }

    #[test]
    fn every_way_of_printing_masks() {
        let masked = Masked::<Email>::new("ada@example.com".to_owned());
        assert_eq!(format!("{masked:?}"), "Masked(a***@e***.com)");
        assert_eq!(
            serde_json::to_string(&masked).expect("serialises"),
            "\"a***@e***.com\""
        );
        assert_eq!(masked.reveal(), "ada@example.com");
    }
}
