//! The name of a client in its certificate.
//!
//! An authority may issue certificates for names that others choose. So only names of a
//! strict form count: none of one kind can pass for one of another kind, or for two.

use rustls::pki_types::CertificateDer;
use url::Url;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

use crate::peer::Identity;

/// Maximum bytes of a name: those of a SPIFFE ID (SPIFFE-ID, section 2.3).
const MOST: usize = 2048;

const SPIFFE: &str = "spiffe://";

/// Returns whose a certificate is, if it has a name that can be used: a SPIFFE ID, or else
/// its first DNS name, URI or email address, or else its subject.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Identity> {
    name(&parse(certificate)?).map(Identity::new)
}

/// Parses a certificate, if it is one.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate)
}

/// Returns the name of a certificate that can be used.
pub(super) fn name(certificate: &X509Certificate<'_>) -> Option<String> {
    let extension = certificate.subject_alternative_name().ok()?;
    let names = extension.map_or(&[][..], |names| &names.value.general_names);
    let uris: Vec<_> = names.iter().filter_map(uri).collect();
    if uris.iter().any(|uri| is_of_spiffe(uri)) {
        // A certificate with more than one URI is no SVID (X509-SVID, section 2).
        return match uris[..] {
            [id] if is_spiffe_id(id) => Some(id.to_owned()),
            _ => None,
        };
    }
    let first = |find: &dyn Fn(&GeneralName<'_>) -> Option<String>| {
        names.iter().filter_map(find).find(|name| name.len() <= MOST)
    };
    first(&dns_name)
        .or_else(|| uris.into_iter().find(|uri| is_uri(uri)).map(str::to_owned))
        .or_else(|| first(&email))
        .or_else(|| subject(certificate.subject()))
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(uri) => Some(uri),
        _ => None,
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) if is_of(name, b"-_.*") => Some((*name).to_owned()),
        _ => None,
    }
}

fn email(name: &GeneralName<'_>) -> Option<String> {
    let GeneralName::RFC822Name(email) = name else { return None };
    let (user, host) = email.rsplit_once('@')?;
    let is_email = is_of(user, b"-_.+") && is_of(host, b"-.");
    is_email.then(|| (*email).to_owned())
}

/// Returns a subject such as `O=Example, CN=orders`, unless a value has what separates the
/// others.
fn subject(subject: &X509Name<'_>) -> Option<String> {
    let is_plain = |value: &str| {
        !value.is_empty()
            && !value.contains(|c: char| c.is_control() || ",=+\"\\<>;#".contains(c))
    };
    let mut values = subject.iter_attributes().map(AttributeTypeAndValue::as_str);
    if !values.all(|value| value.is_ok_and(is_plain)) {
        return None;
    }
    Some(subject.to_string()).filter(|name| !name.is_empty() && name.len() <= MOST)
}

fn is_of_spiffe(uri: &str) -> bool {
    uri.get(.."spiffe:".len())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
}

/// Reports whether a name is a SPIFFE ID: a trust domain, and a path of segments
/// (SPIFFE-ID, section 2). That of a client has a path (X509-SVID, section 3.1): without
/// one it is an authority's.
fn is_spiffe_id(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix(SPIFFE).filter(|_| uri.len() <= MOST) else {
        return false;
    };
    let Some((domain, path)) = rest.split_once('/') else { return false };
    is_of(domain, b"-_.")
        && !domain.bytes().any(|byte| byte.is_ascii_uppercase())
        && path.split('/').all(|part| is_of(part, b"-_.") && part != "." && part != "..")
}

fn is_uri(uri: &str) -> bool {
    uri.len() <= MOST
        && uri.bytes().all(|byte| byte.is_ascii_graphic())
        && Url::parse(uri).is_ok()
}

/// Reports whether a text has letters, digits and `others` only, and at least one of them.
fn is_of(text: &str, others: &[u8]) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}
