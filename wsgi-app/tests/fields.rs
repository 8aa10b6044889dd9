//! Queries and forms as values of types that serde makes.
#![cfg(feature = "serde")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Deserialize;
use wsgi_app::test::{Request, call, call_blocking};
use wsgi_app::{Environ, FieldsError, FormError, Response, Result, blocking, site};

use common::run;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Everything {
    text: String,
    number: i64,
    small: u8,
    real: f64,
    flag: bool,
    letter: char,
    side: Side,
    maybe: Option<u32>,
    name: Option<String>,
    wrapped: Wrapped,
    many: Vec<u16>,
    pair: Option<(String, u8)>,
    sides: Option<Vec<Side>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Side {
    #[default]
    Left,
    Right,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
struct Wrapped(u64);

/// The query as a value of this type, or the status and the text of the response.
fn read<T: serde::de::DeserializeOwned + Debug + Send + 'static>(query: &str) -> String {
    async fn page<T: serde::de::DeserializeOwned + Debug>(environ: Environ) -> Result<String, FieldsError> {
        environ.query_as::<T>().map(|value| format!("{value:?}"))
    }
    shown(&run(call(site(page::<T>), Request::get(format!("/?{query}")))))
}

fn shown(response: &Response) -> String {
    let text = response.body().as_str().expect("text");
    if response.status() == 200 { text.to_owned() } else { format!("{} {text}", response.status().code()) }
}

#[test]
fn fields_have_the_types_of_the_struct() {
    let query = "text=a+b%26&number=-3&small=255&real=2.5&flag=true&letter=%C3%A9&side=right&maybe=7&name=x\
                 &wrapped=18446744073709551615&many=1&other=y&many=2&pair=a&pair=1&sides=left&sides=right";
    let expected = Everything {
        text: "a b&".into(),
        number: -3,
        small: 255,
        real: 2.5,
        flag: true,
        letter: 'é',
        side: Side::Right,
        maybe: Some(7),
        name: Some("x".into()),
        wrapped: Wrapped(u64::MAX),
        many: vec![1, 2],
        pair: Some(("a".into(), 1)),
        sides: Some(vec![Side::Left, Side::Right]),
    };
    assert_eq!(read::<Everything>(query), format!("{expected:?}"));
    assert_eq!(read::<Everything>(""), format!("{:?}", Everything::default()));
    // Inputs that are not filled in.
    assert_eq!(read::<Everything>("maybe=&name=&sides="), format!("{:?}", Everything::default()));
    assert_eq!(read::<BTreeMap<String, u8>>("b=1&a=2"), r#"{"a": 2, "b": 1}"#);
    assert_eq!(read::<BTreeMap<u8, Vec<String>>>("1=a&2=b&1=c"), r#"{1: ["a", "c"], 2: ["b"]}"#);
    assert_eq!(read::<Option<BTreeMap<String, u8>>>(""), "None");
    assert_eq!(read::<Option<BTreeMap<String, u8>>>("a=1"), r#"Some({"a": 1})"#);
}

#[test]
fn other_values_are_the_clients_error_that_names_the_field() {
    for (query, expected) in [
        ("small=256", "field `small`: invalid value: string \"256\", expected u8"),
        ("small=", "field `small`: invalid value: string \"\", expected u8"),
        ("number=1.5", "field `number`: invalid value: string \"1.5\", expected i64"),
        ("flag=on", "field `flag`: invalid value: string \"on\", expected a boolean"),
        ("letter=ab", "field `letter`: invalid value: string \"ab\", expected a character"),
        ("side=up", "field `side`: unknown variant `up`, expected `left` or `right`"),
        ("maybe=x", "field `maybe`: invalid value: string \"x\", expected u32"),
        ("many=1&many=x", "field `many`: invalid value: string \"x\", expected u16"),
        ("text=a&text=b", "field `text`: 2 values (expected one)"),
        ("number=1&number=2&number=3", "field `number`: 3 values (expected one)"),
        ("pair=a&pair=1&pair=2", "field `pair`: 3 values (expected 2)"),
        ("pair=a", "field `pair`: invalid length 1, expected a tuple of size 2"),
    ] {
        assert_eq!(read::<Everything>(query), format!("400 {expected}\n"), "{query}");
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only shown")]
    struct One {
        id: u8,
    }
    assert_eq!(read::<One>("id=1"), "One { id: 1 }");
    assert_eq!(read::<One>(""), "400 missing field `id`\n");
    assert_eq!(read::<One>("id=1&a=2"), "400 unknown field `a`, expected `id`\n");
    assert_eq!(
        read::<BTreeMap<String, u8>>("a%0A=x"),
        "400 field `a\\n`: invalid value: string \"x\", expected u8\n"
    );
    assert_eq!(read::<Vec<String>>("a=1"), "400 invalid type: map, expected a sequence\n");
}

#[test]
fn errors_do_not_repeat_long_values() {
    let (long, short) = ("%C3%A9".repeat(1000), "é".repeat(50));
    for (query, expected) in [
        (format!("a={long}"), format!("400 field `a`: invalid value: string \"{short}…\", expected u8\n")),
        (format!("{long}=x"), format!("400 field `{short}…`: invalid value: string \"x\", expected u8\n")),
    ] {
        assert_eq!(read::<BTreeMap<String, u8>>(&query), expected);
    }
    let text = read::<Everything>(&format!("side={long}"));
    assert!(text.starts_with("400 field `side`: unknown variant `éé") && text.len() < 1100, "{text}");
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "it is only shown")]
struct Outer {
    text: String,
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "it is only shown")]
struct Inner {
    page: Option<String>,
    #[serde(default)]
    tag: Vec<String>,
}

#[test]
fn structs_can_share_fields() {
    for (query, expected) in [
        ("text=a", r#"Outer { text: "a", inner: Inner { page: None, tag: [] } }"#),
        ("text=a&page=2", r#"Outer { text: "a", inner: Inner { page: Some("2"), tag: [] } }"#),
        ("text=a&tag=x&tag=y", r#"Outer { text: "a", inner: Inner { page: None, tag: ["x", "y"] } }"#),
        // Of no type.
        ("text=a&other=1&other=2", r#"Outer { text: "a", inner: Inner { page: None, tag: [] } }"#),
        ("text=a&text=b", "400 field `text`: 2 values (expected one)\n"),
        ("text=a&page=1&page=2", "400 invalid type: sequence, expected a string\n"),
    ] {
        assert_eq!(read::<Outer>(query), expected, "{query}");
    }
    // A struct is not a sequence of its fields.
    assert_eq!(read::<BTreeMap<String, Inner>>("a=x&a=y"), "400 field `a`: 2 values (expected one)\n");
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    age: Option<u8>,
}

async fn sign(environ: Environ) -> Result<String> {
    let entry: Entry = environ.form_as(20).await?;
    Ok(format!("{} {:?}", entry.name, entry.age))
}

fn sign_blocking(environ: blocking::Environ) -> Result<String, FormError> {
    let entry: Entry = environ.form_as(20)?;
    Ok(format!("{} {:?}", entry.name, entry.age))
}

#[test]
fn a_form_is_a_value_too() {
    const FORM: &str = "application/x-www-form-urlencoded";
    for (content_type, body, expected) in [
        (FORM, "name=Ada&age=36", "Ada Some(36)"),
        (FORM, "name=Ada&age=", "Ada None"),
        (FORM, "name=Ada&age=x", "400 field `age`: invalid value: string \"x\", expected u8\n"),
        (FORM, "age=36", "400 missing field `name`\n"),
        (
            "text/plain",
            "name=Ada",
            "415 the body is not a form (expected `Content-Type: application/x-www-form-urlencoded`)\n",
        ),
        (FORM, "name=Ada&age=36&a=b&c", "413 "),
    ] {
        let request = || Request::post("/", body).header("Content-Type", content_type);
        let (one, other) =
            (run(call(site(sign), request())), call_blocking(blocking::site(sign_blocking), request()));
        assert!(shown(&one).starts_with(expected), "{body}: {}", shown(&one));
        assert_eq!(shown(&one), shown(&other));
    }
}

#[test]
fn a_reading_may_be_wrapped_in_any_error() {
    async fn page(environ: Environ) -> Result<String> {
        let map: BTreeMap<String, u8> = environ.query_as()?;
        Ok(format!("{map:?}"))
    }
    let response = run(call(site(page), Request::get("/?a=x")));
    assert_eq!(shown(&response), "400 field `a`: invalid value: string \"x\", expected u8\n");
}
