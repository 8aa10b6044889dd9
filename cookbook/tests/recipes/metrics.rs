use std::process::Command;

use wsgi_tests::caller::Caller;
use wsgi_tests::live::eventually;
use wsgi_tests::program::Program;

/// Whether no bucket has more requests than the next one.
fn fits_together(text: &str) -> bool {
    let buckets = text.lines().filter(|line| line.contains("_bucket{"));
    let counts: Vec<u64> =
        buckets.map(|line| line.rsplit_once(' ').expect("a value").1.parse().expect("a number")).collect();
    counts.len() == 10 && counts.is_sorted()
}

#[test]
fn requests_are_counted_by_method_and_status() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metrics"));
    command.args(["127.0.0.1:0", "127.0.0.1:0"]);
    let mut recipe = Program::run(command);
    let line = recipe.line();
    let address =
        line.trim_end().strip_prefix("metrics at http://").and_then(|line| line.strip_suffix("/metrics"));
    let address = address.expect("an address").parse().expect("an address");
    let metrics = || Caller::connect(address).get("/metrics").text();
    let value = |text: &str, series: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse::<f64>().expect("a number"))
    };

    assert!(metrics().contains("\nhttp_requests_in_flight 0\n"));
    let mut client = recipe.connect();
    for request in ["GET /", "GET /", "GET /none", "GET /panic", "DELETE /", "BREW /", "BREW-TEA /"] {
        client.send(format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.answer();
    }
    // The hook of the last request runs after its response.
    eventually("all requests are counted", || {
        value(&metrics(), "http_request_duration_seconds_count") == Some(7.0)
    });
    let text = metrics();
    for (series, count) in [
        ("http_requests_total{method=\"GET\",code=\"200\"}", 2.0),
        ("http_requests_total{method=\"GET\",code=\"404\"}", 1.0),
        ("http_requests_total{method=\"GET\",code=\"500\"}", 1.0),
        ("http_requests_total{method=\"DELETE\",code=\"405\"}", 1.0),
        ("http_requests_total{method=\"other\",code=\"405\"}", 2.0),
        ("http_request_duration_seconds_bucket{le=\"+Inf\"}", 7.0),
        ("http_requests_in_flight", 0.0),
        ("http_connections", 1.0),
    ] {
        assert_eq!(value(&text, series), Some(count), "{series}: {text}");
    }
    assert!(fits_together(&text), "{text}");
    assert!(value(&text, "http_request_duration_seconds_sum").is_some_and(|sum| sum > 0.0), "{text}");
    // Clients have no metrics.
    assert_eq!(client.get("/metrics").status, 404);
    let answer = Caller::connect(address).get("/metrics");
    assert_eq!(answer.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    // Also while requests end.
    std::thread::scope(|scope| {
        let clients = [(); 3].map(|()| {
            let mut client = recipe.connect();
            scope.spawn(move || (0..500).for_each(|_| assert_eq!(client.get("/").status, 200)))
        });
        let mut observer = Caller::connect(address);
        while clients.iter().any(|client| !client.is_finished()) {
            let text = observer.get("/metrics").text();
            assert!(fits_together(&text), "{text}");
        }
    });
    recipe.stop();
}
