//! A private certificate authority, as Supabase's are, and a server whose certificate it signed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{
        X509, X509Builder, X509Name,
        extension::{
            AuthorityKeyIdentifier, BasicConstraints, SubjectAlternativeName, SubjectKeyIdentifier,
        },
    },
};
use rollcall_sandbox::Server;

/// From which day to which, counted from today, a certificate is valid.
pub type Validity = (i64, i64);

/// Today, and some weeks more.
pub const VALID: Validity = (-1, 30);
/// Until yesterday.
pub const EXPIRED: Validity = (-30, -1);

/// A certificate authority of the test's own.
#[derive(Debug)]
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    /// All of them have the same name, as Supabase's two generations do; a key's identifier tells
    /// them apart.
    pub fn new() -> Result<Self> {
        let key = key()?;
        let name = name("Private authority")?;
        let mut builder = builder(&name, &name, &key, (-60, 60))?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(identifier)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            certificate: builder.build(),
            key,
        })
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> Result<String> {
        Ok(String::from_utf8(self.certificate.to_pem()?)?)
    }

    /// A server's certificate and key for `host` and for 127.0.0.1, as PEM.
    pub fn issue(&self, host: &str, validity: Validity) -> Result<(String, String)> {
        let key = key()?;
        let mut builder = builder(
            &name(host)?,
            self.certificate.subject_name(),
            &key,
            validity,
        )?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let names = SubjectAlternativeName::new()
            .dns(host)
            .ip("127.0.0.1")
            .build(&context)?;
        let issuer = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(names)?;
        builder.append_extension(issuer)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok((
            String::from_utf8(builder.build().to_pem()?)?,
            String::from_utf8(key.private_key_to_pem_pkcs8()?)?,
        ))
    }
}

fn key() -> Result<PKey<Private>> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(PKey::from_ec_key(EcKey::generate(&curve)?)?)
}

fn name(common_name: &str) -> Result<X509Name> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(name.build())
}

fn builder(
    subject: &X509Name,
    issuer: &openssl::x509::X509NameRef,
    key: &PKey<Private>,
    (from, to): Validity,
) -> Result<X509Builder> {
    let now = jiff::Timestamp::now().as_second();
    let day = |offset: i64| Asn1Time::from_unix(now + offset * 24 * 60 * 60);
    let mut serial = BigNum::new()?;
    serial.rand(64, MsbOption::MAYBE_ZERO, false)?;
    let serial = serial.to_asn1_integer()?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(day(from)?.as_ref())?;
    builder.set_not_after(day(to)?.as_ref())?;
    Ok(builder)
}

/// Switches TLS on. The server writes the files itself: it takes a key only from its own user's
/// hands.
pub async fn serve_tls(server: &Server, certificate: &str, key: &str) -> Result<()> {
    let admin = rollcall_sandbox::connect(&server.url("supabase_admin", "postgres")).await?;
    for (name, text) in [("server.crt", certificate), ("server.key", key)] {
        admin
            .batch_execute(&format!(
                "copy (select unnest(string_to_array('{}', E'\\n'))) to program 'umask 077; cat > {name}'",
                text.trim_end()
            ))
            .await
            .with_context(|| format!("{name} cannot be written"))?;
    }
    admin.batch_execute("alter system set ssl = on").await?;
    admin.query_typed("select pg_reload_conf()", &[]).await?;
    for _ in 0..1_200 {
        let client = rollcall_sandbox::connect(&server.url("supabase_admin", "postgres")).await?;
        let row = client.query_typed_one("show ssl", &[]).await?;
        if row.get::<_, &str>(0) == "on" {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the server does not switch TLS on; see its log")
}
