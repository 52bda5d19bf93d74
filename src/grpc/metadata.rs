//! How much memory the metadata of a request costs.
//!
//! HTTP/2 compresses header fields (HPACK): a byte can stand for a field that was sent
//! before. The limit of bytes in `net/limits.rs` allows hundreds of fields, whose entries
//! in the map cost a hundred times what their client sent.

use http::{HeaderMap, Uri};

/// Bytes that a field costs in addition to its name and value: an entry of the map,
/// which reserves some more than it has.
const FIELD: usize = 128;

/// Bytes that the trailers of a request cost at most: as many of the shortest fields as
/// the limit of bytes allows.
pub(super) const TRAILERS: usize = 60 * 1024;

/// Returns about how many bytes a request line and header fields cost.
pub(super) fn size(uri: &Uri, fields: &HeaderMap) -> usize {
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let fields = fields.iter().map(|(name, value)| name.as_str().len() + value.len());
    path + authority + fields.map(|bytes| bytes + FIELD).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn repeated_fields_count_each_time() {
        let uri = Uri::from_static("http://gateway/a?b");
        let mut fields = HeaderMap::new();
        assert_eq!(size(&uri, &fields), 7 + 4);
        for times in 1..=500 {
            let name = HeaderName::from_static("x");
            fields.append(name, HeaderValue::from_static("yz"));
            assert_eq!(size(&uri, &fields), 7 + 4 + times * (3 + FIELD));
        }
    }
}
