//! Feature `proxy-protocol`: the header that a proxy sends before the bytes of its client, with the client's addresses.
//!
//! Nothing is read here. While a header is incomplete, [`parse_proxy_header`] returns how many more bytes certainly belong
//! to it. A caller that reads no more than that keeps every byte behind the header for TLS or HTTP.
//!
//! The specification is <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.

use std::fmt;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use ppp::{v1, v2};
use wsgi_proto::Address;

/// The longest header of version 1 without its CR LF (2.1: "a 108-byte buffer is always enough", with a final zero).
const LONGEST_LINE: usize = 105;

/// The longest header of version 2 that is accepted. Addresses take at most 232 bytes, the rest is for TLVs.
const LONGEST_BINARY: usize = 4096;

/// The part of a header of version 2 that has a fixed size: signature, version, family, length.
const FIXED: usize = 16;

/// The beginnings of a header of version 1. Those with addresses have the same length.
const TCP4: &[u8] = b"PROXY TCP4 ";
const TCP6: &[u8] = b"PROXY TCP6 ";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN";

/// Where their protocol begins.
const PROTOCOL: usize = 6;

/// The result of reading the beginning of a connection as a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// At least this many more bytes belong to the header. It is never zero.
    Incomplete(usize),
    /// The header is complete. The addresses of the connection itself are valid: the proxy speaks for itself, as in a
    /// health check, or does not know its client (`LOCAL`, `UNKNOWN`, or a family other than TCP and unix sockets).
    Own,
    /// The header is complete and has the addresses of the proxy's client.
    Client {
        /// The address of the client.
        remote: Address,
        /// The address that the client connected to.
        local: Address,
    },
}

/// A header of the PROXY protocol that is absent, malformed or too long. The connection has to be closed: the
/// specification forbids guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaderError {
    /// The connection begins with something else.
    Missing,
    /// The header breaks this rule.
    Malformed(&'static str),
    /// The header is longer than this number of bytes.
    TooLong(usize),
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no PROXY protocol header (expected: version 1 or 2)"),
            Self::Malformed(rule) => write!(f, "malformed PROXY protocol header (expected {rule})"),
            Self::TooLong(limit) => write!(f, "PROXY protocol header too long (limit: {limit} bytes)"),
        }
    }
}

impl std::error::Error for ProxyHeaderError {}

/// Reads `bytes`, the beginning of a connection, as a header of the PROXY protocol, version 1 or 2.
///
/// # Errors
///
/// The header is absent, malformed or too long, however many bytes follow.
pub fn parse_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    if agree(bytes, v2::PROTOCOL_PREFIX) && !bytes.is_empty() {
        binary(bytes)
    } else if [TCP4, TCP6, UNKNOWN].iter().any(|begin| agree(bytes, begin)) {
        text(bytes)
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

/// Whether one of the two begins with the other one.
fn agree(bytes: &[u8], begin: &[u8]) -> bool {
    bytes.iter().zip(begin).all(|(one, other)| one == other)
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    if bytes.len() < FIXED {
        return Ok(ProxyHeader::Incomplete(FIXED - bytes.len()));
    }
    if !matches!(bytes[12], 0x20 | 0x21) {
        return Err(ProxyHeaderError::Malformed("version 2 and the command LOCAL or PROXY"));
    }
    // 2.2: "other values … must be rejected as invalid by receivers"
    if !matches!(bytes[13], 0x00 | 0x11 | 0x12 | 0x21 | 0x22 | 0x31 | 0x32) {
        return Err(ProxyHeaderError::Malformed("a known family and protocol"));
    }
    let length = FIXED + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if length > LONGEST_BINARY {
        return Err(ProxyHeaderError::TooLong(LONGEST_BINARY));
    }
    if bytes.len() < length {
        return Ok(ProxyHeader::Incomplete(length - bytes.len()));
    }
    // 2.2: of LOCAL "the receiver … must … discard the protocol block including the family which is ignored"
    if bytes[12] == 0x20 {
        return Ok(ProxyHeader::Own);
    }
    let header = v2::Header::try_from(bytes)
        .map_err(|_| ProxyHeaderError::Malformed("as many bytes as the family needs"))?;
    Ok(match (header.protocol, header.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(addresses)) => four(addresses),
        (v2::Protocol::Stream, v2::Addresses::IPv6(addresses)) => six(addresses),
        (v2::Protocol::Stream, v2::Addresses::Unix(_)) => {
            ProxyHeader::Client { remote: Address::Local, local: Address::Local }
        }
        _ => ProxyHeader::Own,
    })
}

/// Version 1.
fn text(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    const FORM: ProxyHeaderError = ProxyHeaderError::Malformed(
        "`PROXY TCP4` or `PROXY TCP6`, two addresses and two ports; or `PROXY UNKNOWN`; then CR LF",
    );
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let (line, end) = bytes.split_at(end);
    let words = &line[..line.len().min(LONGEST_LINE)];
    let unknown = line.get(PROTOCOL) == Some(&b'U');
    let sound = match unknown {
        // Anything else in the line is ignored.
        true => words.get(UNKNOWN.len()).is_none_or(|byte| *byte == b' '),
        false => words.iter().skip(TCP4.len()).all(|byte| byte.is_ascii_hexdigit() || b":. ".contains(byte)),
    };
    if !sound {
        return Err(FORM);
    }
    if line.len() > LONGEST_LINE {
        return Err(ProxyHeaderError::TooLong(LONGEST_LINE + 2));
    }
    match end {
        b"" => return Ok(ProxyHeader::Incomplete(missing(line).min(LONGEST_LINE + 2 - line.len()))),
        b"\r" => return Ok(ProxyHeader::Incomplete(1)),
        b"\r\n" => {}
        // One without the other, or a line that is too short for its fields.
        _ => return Err(FORM),
    }
    if unknown {
        return Ok(ProxyHeader::Own);
    }
    match v1::Header::try_from(bytes).map_err(|_| FORM)?.addresses {
        v1::Addresses::Tcp4(addresses) => Ok(four(addresses)),
        v1::Addresses::Tcp6(addresses) => Ok(six(addresses)),
        v1::Addresses::Unknown => Ok(ProxyHeader::Own),
    }
}

/// The smallest number of bytes that follow `line` in a valid header of version 1.
fn missing(line: &[u8]) -> usize {
    const END: usize = 2;
    let address = match line.get(..TCP4.len()) {
        Some(TCP4) => "0.0.0.0".len(),
        Some(TCP6) => "::".len(),
        _ => return (UNKNOWN.len() + END).saturating_sub(line.len()).max(END),
    };
    let mut fields = line[TCP4.len()..].split(|byte| *byte == b' ');
    let missing = |shortest| match fields.next() {
        Some(field) => usize::saturating_sub(shortest, field.len()),
        // It begins with a blank.
        None => 1 + shortest,
    };
    [address, address, 1, 1].into_iter().map(missing).sum::<usize>() + END
}

fn four(addresses: v1::IPv4) -> ProxyHeader {
    let address = |ip, port| Address::Ip(SocketAddr::V4(SocketAddrV4::new(ip, port)));
    ProxyHeader::Client {
        remote: address(addresses.source_address, addresses.source_port),
        local: address(addresses.destination_address, addresses.destination_port),
    }
}

fn six(addresses: v1::IPv6) -> ProxyHeader {
    let address = |ip, port| Address::Ip(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, 0)));
    ProxyHeader::Client {
        remote: address(addresses.source_address, addresses.source_port),
        local: address(addresses.destination_address, addresses.destination_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &[u8] = v2::PROTOCOL_PREFIX;

    fn binary_header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("it is short").to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    /// Parses as a connection would: it receives at most `most` bytes at a time, and no more than belong to the header.
    /// Returns the number of bytes that were taken with the result.
    fn receive(sent: &[u8], most: usize) -> (usize, Option<Result<ProxyHeader, ProxyHeaderError>>) {
        let mut taken = 0;
        loop {
            match parse_proxy_header(&sent[..taken]) {
                Ok(ProxyHeader::Incomplete(missing)) => {
                    assert!(missing > 0);
                    if taken == sent.len() {
                        return (taken, None);
                    }
                    taken = sent.len().min(taken + missing.min(most));
                }
                complete => return (taken, Some(complete)),
            }
        }
    }

    fn client(remote: &str, local: &str) -> ProxyHeader {
        let address = |text: &str| Address::Ip(text.parse().expect("an address"));
        ProxyHeader::Client { remote: address(remote), local: address(local) }
    }

    fn valid() -> Vec<(Vec<u8>, ProxyHeader)> {
        let (four, unix) = (client("10.1.2.3:4", "192.168.100.200:65535"), Address::Local);
        let six = client("[2001:db8::1]:50000", "[::1]:443");
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let text = |text: &str| text.as_bytes().to_vec();
        let bytes_of_four = [10, 1, 2, 3, 192, 168, 100, 200, 0, 4, 0xff, 0xff];
        let mut bytes_of_six = [0; 36];
        bytes_of_six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        (bytes_of_six[15], bytes_of_six[31]) = (1, 1);
        bytes_of_six[32..].copy_from_slice(&[0xc3, 0x50, 0x01, 0xbb]);
        let tlvs = |length: usize| [&bytes_of_four[..], &vec![0xee; length]].concat();
        vec![
            (text("PROXY TCP4 10.1.2.3 192.168.100.200 4 65535\r\n"), four),
            (text("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), client("0.0.0.0:0", "0.0.0.0:0")),
            (text("PROXY TCP6 2001:db8::1 ::1 50000 443\r\n"), six),
            (text("PROXY TCP6 :: :: 1 2\r\n"), client("[::]:1", "[::]:2")),
            (text("PROXY TCP6 ::ffff:1.2.3.4 :: 1 2\r\n"), client("[::ffff:1.2.3.4]:1", "[::]:2")),
            (
                text(&format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n")),
                client(&format!("[{longest}]:65535"), &format!("[{longest}]:65535")),
            ),
            (text("PROXY UNKNOWN\r\n"), ProxyHeader::Own),
            (text("PROXY UNKNOWN a b c d e f g h\r\n"), ProxyHeader::Own),
            (text(&format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n")), ProxyHeader::Own),
            (binary_header(0x21, 0x11, &bytes_of_four), four),
            (binary_header(0x21, 0x11, &tlvs(1)), four),
            (binary_header(0x21, 0x11, &tlvs(4096 - 16 - 12)), four),
            (binary_header(0x21, 0x21, &bytes_of_six), six),
            (binary_header(0x21, 0x31, &[b'/'; 216]), ProxyHeader::Client { remote: unix, local: unix }),
            // UDP, and no family.
            (binary_header(0x21, 0x12, &bytes_of_four), ProxyHeader::Own),
            (binary_header(0x21, 0x00, b""), ProxyHeader::Own),
            (binary_header(0x21, 0x00, b"any"), ProxyHeader::Own),
            // LOCAL: the rest is ignored.
            (binary_header(0x20, 0x00, b""), ProxyHeader::Own),
            (binary_header(0x20, 0x11, &bytes_of_four), ProxyHeader::Own),
            (binary_header(0x20, 0x11, b"short"), ProxyHeader::Own),
        ]
    }

    #[test]
    fn exactly_the_header_is_read_however_it_arrives() {
        for (header, expected) in valid() {
            let sent = [&header, &b"GET / HTTP/1.1\r\n\r\n"[..]].concat();
            for most in [1, 2, 3, 7, 15, 16, usize::MAX] {
                let (taken, parsed) = receive(&sent, most);
                assert_eq!(parsed, Some(Ok(expected)), "{:?} by {most}", header.escape_ascii().to_string());
                assert_eq!(taken, header.len(), "{:?} by {most}", header.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn a_usual_header_takes_few_reads() {
        let reads = |header: &[u8]| {
            let (mut reads, mut taken) = (0, 0);
            while let Ok(ProxyHeader::Incomplete(missing)) = parse_proxy_header(&header[..taken]) {
                (reads, taken) = (reads + 1, taken + missing);
            }
            reads
        };
        assert_eq!(reads(b"PROXY TCP4 203.0.113.195 10.0.0.1 56324 8080\r\n"), 6);
        assert_eq!(reads(b"PROXY TCP6 2001:db8:85a3::8a2e:370:7334 2001:db8::17 56324 443\r\n"), 9);
        assert_eq!(reads(&binary_header(0x21, 0x11, &[1; 12])), 3);
    }

    #[test]
    fn a_header_is_incomplete_until_its_last_byte() {
        for (header, _) in valid() {
            for end in 0..header.len() {
                assert_eq!(receive(&header[..end], usize::MAX), (end, None));
            }
        }
    }

    #[test]
    fn other_bytes_and_malformed_headers_are_errors_however_they_arrive() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let long_tcp = format!("PROXY TCP6 {longest} {longest} 65535 65535 111\r\n");
        for (kind, sent) in [
            ("no ", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".as_slice()),
            ("no ", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefghi"),
            ("no ", b"\r\nGET / HTTP/1.1\r\n\r\n"),
            ("no ", b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n"),
            ("no ", b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n"),
            ("no ", b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n"),
            ("no ", b"PROXY \r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n"),
            ("malformed ", b"PROXY TCP4 1 1 1 1\r\nGET / HTTP/1.1\r\n\r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.256 1 1\r\n"),
            ("malformed ", b"PROXY TCP4 ::1 ::1 1 1\r\nGET / HTTP/1.1\r\n\r\n"),
            ("malformed ", b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n"),
            ("malformed ", b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\nGET / HTTP/1.1\n\n"),
            ("malformed ", b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\rGET / HTTP/1.1\r\n\r\n"),
            ("malformed ", b"PROXY UNKNOWNX\r\n"),
            ("malformed ", b"PROXY UNKNOWN\n"),
            ("PROXY protocol header too long (limit: 107 bytes)", &long),
            ("PROXY protocol header too long (limit: 107 bytes)", long_tcp.as_bytes()),
            ("malformed ", &binary_header(0x11, 0x11, &[1; 12])),
            ("malformed ", &binary_header(0x22, 0x11, &[1; 12])),
            ("malformed ", &binary_header(0x21, 0x13, &[1; 12])),
            ("malformed ", &binary_header(0x21, 0x41, &[1; 12])),
            ("malformed ", &binary_header(0x21, 0x10, &[1; 12])),
            ("malformed ", &binary_header(0x21, 0x11, &[1; 11])),
            ("malformed ", &binary_header(0x21, 0x21, &[1; 35])),
            ("malformed ", &binary_header(0x21, 0x31, &[1; 215])),
            ("PROXY protocol header too long (limit: 4096 bytes)", &binary_header(0x21, 0x11, &[1; 4081])),
            ("PROXY protocol header too long (limit: 4096 bytes)", &binary_header(0x20, 0x00, &[1; 65535])),
        ] {
            for most in [1, 2, 7, usize::MAX] {
                let shown = sent.escape_ascii().to_string();
                let (taken, parsed) = receive(sent, most);
                let error = parsed.expect("enough was sent").expect_err(&shown).to_string();
                assert!(error.starts_with(kind), "{shown:?} by {most}: {error}");
                assert!(taken <= 4096, "{shown:?} by {most}: {taken} bytes");
            }
        }
    }
}
