//! Checks the protocols that a listener offers by ALPN. This module knows their names, but not TLS.

use crate::server::options::OptionError;

/// HTTP/2 and HTTP/3 (RFC 9113, 3.1 and 11.1; RFC 9114, 3.1): a client that negotiates one does not speak HTTP/1.x.
const REFUSED: [&[u8]; 3] = [b"h2", b"h2c", b"h3"];

/// Checks the protocols that a listener offers by ALPN. Adapters call it before they serve.
///
/// `h2`, `h2c` and `h3` are refused: clients prefer them, and only HTTP/1.x is served. `http/1.1`, `http/1.0` and an
/// empty list are allowed. So is any other protocol, for example `acme-tls/1`: it is negotiated only by clients that
/// request it by name.
///
/// # Errors
///
/// The first protocol that is refused, as a value of the option `alpn_protocols`.
pub fn check_alpn(protocols: &[Vec<u8>]) -> Result<(), OptionError> {
    match protocols.iter().find(|protocol| REFUSED.contains(&protocol.as_slice())) {
        None => Ok(()),
        Some(refused) => Err(OptionError::new(
            "alpn_protocols",
            format_args!("\"{}\"", refused.escape_ascii()),
            "\"http/1.1\", \"http/1.0\", protocols other than HTTP, or none; HTTP/2 and HTTP/3 are not supported",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(protocols: &[&str]) -> Result<(), String> {
        let protocols: Vec<_> = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        check_alpn(&protocols).map_err(|error| error.to_string())
    }

    #[test]
    fn http_1_and_other_protocols_than_http_are_allowed() {
        for allowed in [
            &[][..],
            &["http/1.1"],
            &["http/1.1", "http/1.0"],
            &["acme-tls/1", "http/1.1"],
            &["h2x", "H2", ""],
        ] {
            assert_eq!(check(allowed), Ok(()), "{allowed:?}");
        }
    }

    #[test]
    fn http_2_and_http_3_are_refused_wherever_they_stand() {
        for (offered, named) in [
            (&["h2"][..], "h2"),
            (&["h2", "http/1.1"], "h2"),
            (&["http/1.1", "h2"], "h2"),
            (&["http/1.1", "h3", "h2"], "h3"),
            (&["h2c"], "h2c"),
        ] {
            let message = format!(
                "option alpn_protocols cannot be \"{named}\" (allowed: \"http/1.1\", \"http/1.0\", protocols other \
                 than HTTP, or none; HTTP/2 and HTTP/3 are not supported)"
            );
            assert_eq!(check(offered), Err(message), "{offered:?}");
        }
    }
}
