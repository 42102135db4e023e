//! Signatures as the Standard Webhooks have them, by which a receiver knows who sent a message, and when.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;

/// What sender and receiver share.
#[derive(Debug)]
pub(crate) struct SigningKey(SecretSlice<u8>);

impl SigningKey {
    /// `whsec_` and the key in base64, or the key itself.
    ///
    /// # Errors
    /// Where it is no base64.
    pub(crate) fn parse(text: &SecretString) -> anyhow::Result<Self> {
        let text = text.expose_secret().trim();
        let key = match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD
                .decode(encoded)
                .context("WEBHOOK_SECRET begins with whsec_, and what follows is not base64")?,
            None => text.as_bytes().to_vec(),
        };
        Ok(Self(key.into()))
    }

    /// The header `webhook-signature` of a message with this id, at this second, with this body.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        // a key of any length will do
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else {
            return String::new();
        };
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> anyhow::Result<SigningKey> {
        SigningKey::parse(&SecretString::from(text))
    }

    /// The example of the specification's libraries.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let signature = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .expect("a key")
            .sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
            );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_in_plain_text_signs_and_one_that_is_cut_is_refused() {
        assert!(
            key("plain")
                .expect("a key")
                .sign("a", 1, "b")
                .starts_with("v1,")
        );
        assert!(key("whsec_%").is_err());
        assert!(!format!("{:?}", key("plain")).contains("plain"));
    }
}
