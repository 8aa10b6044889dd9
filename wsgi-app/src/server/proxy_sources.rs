//! Feature `proxy-protocol`: the sources of connections that must begin with a header of the PROXY protocol.

use std::io;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use wsgi_proto::Address;

use crate::context::Remote;
use crate::server::options::OptionError;

/// The proxies of a listener: each of their connections begins with a header of the PROXY protocol (version 1 or 2), which
/// contains the addresses of the client. Connections from any other source are refused.
///
/// Parsed from a list of IP addresses, networks, and `unix` (all connections without an IP address), separated by commas:
///
/// ```
/// use wsgi_app::ProxySources;
///
/// let sources: ProxySources = "127.0.0.1, 10.0.0.0/8, 2001:db8::/32, unix".parse()?;
/// // A network that contains all addresses trusts every client.
/// let everyone: ProxySources = "0.0.0.0/0, ::/0".parse()?;
///
/// let error = "10.0.0.0/33".parse::<ProxySources>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "option proxy_protocol cannot be \"10.0.0.0/33\" (allowed: IP addresses, networks such as 10.0.0.0/8, and unix)",
/// );
/// # Ok::<(), wsgi_app::OptionError>(())
/// ```
///
/// List only proxies that you control, and networks that no client can connect from: a listed source chooses the
/// addresses that the application and the log see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySources {
    networks: Arc<[Network]>,
    unix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    /// Not an IPv4 address in an IPv6 address.
    address: IpAddr,
    bits: u8,
}

impl ProxySources {
    /// Whether `remote` is listed; its port does not matter. For fields that only a proxy may set, such as
    /// `X-Forwarded-For`:
    ///
    /// ```
    /// use wsgi_app::{Environ, ProxySources};
    ///
    /// fn is_https(proxies: &ProxySources, environ: &Environ) -> bool {
    ///     let is_proxied = proxies.contains(&environ.endpoints().remote);
    ///     is_proxied && environ.header("X-Forwarded-Proto").as_deref() == Some("https")
    /// }
    /// ```
    pub fn contains(&self, remote: &Address) -> bool {
        match remote {
            Address::Ip(address) => self.networks.iter().any(|network| network.contains(address.ip())),
            Address::Local => self.unix,
        }
    }

    /// The error if `remote` is not listed.
    pub(crate) fn check(&self, remote: &Address) -> io::Result<()> {
        if self.contains(remote) {
            return Ok(());
        }
        let message = format!("{} is not listed as a source of the PROXY protocol", Remote(remote));
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }
}

impl FromStr for ProxySources {
    type Err = OptionError;

    fn from_str(list: &str) -> Result<Self, OptionError> {
        let (mut networks, mut unix) = (Vec::new(), false);
        for source in list.split(',').map(str::trim) {
            if source == "unix" {
                unix = true;
                continue;
            }
            networks.push(Network::parse(source).ok_or_else(|| {
                let allowed = "IP addresses, networks such as 10.0.0.0/8, and unix";
                OptionError::new("proxy_protocol", format_args!("{source:?}"), allowed)
            })?);
        }
        Ok(Self { networks: networks.into(), unix })
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let all = width(address);
        let bits = match bits {
            None => all,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= all && !text.contains('+'))?,
        };
        // Connections are compared by their IPv4 address.
        let network = match address.to_canonical() {
            canonical if canonical != address && bits >= 96 => Self { address: canonical, bits: bits - 96 },
            _ => Self { address, bits },
        };
        Some(network)
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn lists(sources: &str, remote: &str) -> bool {
        let sources: ProxySources = sources.parse().expect("they are allowed");
        let remote = match remote {
            "unix" => Address::Local,
            address => SocketAddr::new(address.parse().expect("an address"), 7).into(),
        };
        assert_eq!(sources.contains(&remote), sources.check(&remote).is_ok());
        sources.contains(&remote)
    }

    #[test]
    fn sources_are_addresses_networks_and_unix_sockets() {
        for (sources, listed, others) in [
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"][..], &["127.0.0.2", "::1", "unix"][..]),
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255"],
                &["11.0.0.0", "9.255.255.255", "::a00:0", "unix"],
            ),
            ("10.1.2.3/9", &["10.0.0.0", "10.127.255.255"], &["10.128.0.0"]),
            ("0.0.0.0/0", &["1.2.3.4", "255.255.255.255", "::ffff:1.2.3.4"], &["::1", "unix"]),
            ("::/0", &["::1", "ffff::"], &["1.2.3.4", "unix"]),
            ("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::1", "2001:db9::"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9", "::ffff:10.9.9.9"], &["11.0.0.0", "::1"]),
            ("::1,unix , 192.0.2.0/24", &["::1", "unix", "192.0.2.255"], &["192.0.3.0", "::2"]),
            ("unix", &["unix"], &["127.0.0.1", "::1"]),
        ] {
            for remote in listed {
                assert!(lists(sources, remote), "{remote} is in {sources}");
            }
            for remote in others {
                assert!(!lists(sources, remote), "{remote} is not in {sources}");
            }
        }
    }

    #[test]
    fn a_refused_source_is_named_and_concerns_only_its_peer() {
        let sources: ProxySources = "10.0.0.0/8".parse().expect("it is allowed");
        let remote = SocketAddr::from(([192, 0, 2, 1], 50000));
        let error = sources.check(&remote.into()).expect_err("it is another");
        assert_eq!(error.to_string(), "192.0.2.1:50000 is not listed as a source of the PROXY protocol");
        let failure = crate::server::accept_error::accept_failure(&error);
        assert_eq!(failure, crate::server::accept_error::AcceptFailure::Peer);
    }

    #[test]
    fn other_sources_are_refused_with_their_text() {
        for (list, named) in [
            ("", ""),
            ("127.0.0.1,", ""),
            ("localhost", "localhost"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("10/8", "10/8"),
            ("10.0.0.0/", "10.0.0.0/"),
            ("10.0.0.0/+8", "10.0.0.0/+8"),
            ("unix, 10.0.0.0/33", "10.0.0.0/33"),
            ("::/129", "::/129"),
            ("Unix", "Unix"),
        ] {
            let error = list.parse::<ProxySources>().expect_err(list).to_string();
            assert!(
                error.starts_with(&format!("option proxy_protocol cannot be {named:?} (allowed: ")),
                "{error}"
            );
        }
    }
}
