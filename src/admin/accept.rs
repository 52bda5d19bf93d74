//! Which of two formats a client asks for: the small part of RFC 9110, section 12.5.1,
//! that tells a program from a person.

use http::{HeaderMap, header::ACCEPT};

/// Reports whether a client names the media type `wanted`, and prefers it to `usual`.
pub(super) fn prefers(headers: &HeaderMap, wanted: &str, usual: &str) -> bool {
    let quality = |media_type| quality(headers, media_type);
    quality(wanted) > 0.0 && quality(wanted) >= quality(usual)
}

/// Returns how much a client wants a media type that it names, from 0 to 1. Ranges such
/// as `*/*` leave the choice to the gateway, which is the usual format.
fn quality(headers: &HeaderMap, media_type: &str) -> f32 {
    let values =
        headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let quality_of = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next()?.eq_ignore_ascii_case(media_type);
        let quality = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.eq_ignore_ascii_case("q").then(|| value.parse().unwrap_or(0.0))
        });
        is_named.then_some(quality.unwrap_or(1.0))
    };
    values.flat_map(|value| value.split(',')).filter_map(quality_of).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn format_is_the_one_that_the_client_prefers() {
        for (accept, expected) in [
            ("application/json", true),
            ("text/plain, application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json;q=0.5,text/plain;q=0.4,*/*;q=0.1", true),
            ("application/json;q=0.4,text/plain;q=0.5", false),
            ("application/json;q=0", false),
            ("application/json;q=x", false),
            ("*/*", false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            assert!(!prefers(&headers, "application/json", "text/plain"));
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            let json = prefers(&headers, "application/json", "text/plain");
            assert_eq!(json, expected, "{accept}");
        }
    }
}
