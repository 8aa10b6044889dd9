//! The header of the PROXY protocol: whatever arrives, and however it is split, the outcome is the same.

use proptest::prelude::*;
use wsgi_app::adapter::{ProxyHeader, ProxyHeaderError, parse_proxy_header};

/// The outcome for a connection that sends these bytes and closes, and the number of bytes that were taken. They arrive in
/// pieces of `sizes`, repeated; as in a server, no more is read than belongs to the header.
fn receive(sent: &[u8], sizes: &[usize]) -> (Option<Result<ProxyHeader, ProxyHeaderError>>, usize) {
    let (mut taken, mut sizes) = (0, sizes.iter().cycle());
    loop {
        match parse_proxy_header(&sent[..taken]) {
            Ok(ProxyHeader::Incomplete(missing)) => {
                assert!(missing > 0);
                if taken == sent.len() {
                    return (None, taken);
                }
                taken = sent.len().min(taken + missing.min(*sizes.next().expect("it is not empty")));
            }
            outcome => return (Some(outcome), taken),
        }
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
        "(::)?[0-9a-f]{0,4}(:[0-9a-f]{1,4}){0,8}(::)?",
        "[0-9]{0,6}",
        "[ -~\r\n]{0,12}",
    ];
    let word = prop_oneof![4 => "TCP4|TCP6|UNKNOWN", 1 => "[A-Z0-9]{0,8}"];
    let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("")];
    (word, prop::collection::vec(field, 0..6), end)
        .prop_map(|(word, fields, end)| format!("PROXY {word} {}{end}", fields.join(" ")).into_bytes())
}

fn valid_text() -> impl Strategy<Value = Vec<u8>> {
    let ports = any::<[u16; 2]>();
    prop_oneof![
        (any::<[std::net::Ipv4Addr; 2]>(), ports)
            .prop_map(|([one, other], [from, to])| format!("PROXY TCP4 {one} {other} {from} {to}\r\n")),
        (any::<[std::net::Ipv6Addr; 2]>(), ports)
            .prop_map(|([one, other], [from, to])| format!("PROXY TCP6 {one} {other} {from} {to}\r\n")),
        "[ -~]{0,80}".prop_map(|rest| format!("PROXY UNKNOWN {rest}\r\n")),
    ]
    .prop_map(String::into_bytes)
}

fn binary() -> impl Strategy<Value = Vec<u8>> {
    let command = prop_oneof![4 => Just(0x21), 1 => Just(0x20), 1 => any::<u8>()];
    let family = prop_oneof![4 => prop::sample::select(&[0x00, 0x11, 0x21, 0x31][..]), 1 => any::<u8>()];
    let rest = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(any::<u8>(), 4000..4200),
    ];
    (command, family, rest).prop_map(|(command, family, rest)| {
        let length = u16::try_from(rest.len()).expect("it is short").to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, &rest].concat()
    })
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_how_a_header_arrives(
        header in prop_oneof![text(), valid_text(), binary(), prop::collection::vec(any::<u8>(), 0..64)],
        behind in prop::collection::vec(any::<u8>(), 0..64),
        sizes in prop::collection::vec(1..20_usize, 1..8),
    ) {
        let sent = [&header[..], &behind].concat();
        let (whole, taken) = receive(&sent, &[usize::MAX]);
        for sizes in [&[1][..], &sizes] {
            let (other, also_taken) = receive(&sent, sizes);
            prop_assert_eq!(other, whole);
            if !matches!(whole, Some(Err(_))) {
                prop_assert_eq!(also_taken, taken);
            }
        }
        // Memory is bounded.
        prop_assert!(taken <= 4096);
    }

    #[test]
    fn exactly_a_valid_header_is_taken(header in valid_text(), behind in prop::collection::vec(any::<u8>(), 0..64)) {
        let (outcome, taken) = receive(&[&header[..], &behind].concat(), &[usize::MAX]);
        prop_assert!(matches!(outcome, Some(Ok(_))), "{:?}", outcome);
        prop_assert_eq!(taken, header.len());
    }
}
