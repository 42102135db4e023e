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
