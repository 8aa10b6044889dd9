//! Bar charts as SVG, readable on light and on dark pages.

use std::fmt::Write as _;

/// A chart of horizontal bars, in groups.
pub(crate) struct Chart {
    /// The finding, in one sentence.
    pub(crate) title: String,
    /// What the bars show, and in which unit.
    pub(crate) subtitle: String,
    /// A line at this value, with its label.
    pub(crate) line: Option<(f64, String)>,
    /// The groups with their headings; an empty heading takes no space.
    pub(crate) groups: Vec<(String, Vec<Bar>)>,
}

/// One bar.
pub(crate) struct Bar {
    /// Its label.
    pub(crate) label: String,
    /// Its length.
    pub(crate) value: f64,
    /// The figure beside it.
    pub(crate) text: String,
    /// Whether it is drawn in the colour of this project.
    pub(crate) ours: bool,
}

const WIDTH: f64 = 820.0;
/// Where bars begin; labels end before it.
const LEFT: f64 = 250.0;
/// Where bars end at the latest; the texts of all bars stand in a column after it, where no line crosses them.
const RIGHT: f64 = WIDTH - 130.0;
const ROW: f64 = 24.0;
const TOP: f64 = 92.0;

const STYLE: &str = "\
<style>
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .soft { fill: #59636e }
  .heading { font-weight: 600 }
  .page { fill: #ffffff }
  .ours { fill: #0969da }
  .other { fill: #afb8c1 }
  .line { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
  .mark { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .soft { fill: #9198a1 }
    .page { fill: #0d1117 }
    .ours { fill: #4493f8 }
    .other { fill: #565e68 }
    .line { stroke: #ff7b72 }
    .mark { fill: #ff7b72 }
  }
</style>
";

impl Chart {
    /// The chart as a file.
    pub(crate) fn svg(&self) -> String {
        let longest = self.groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value).fold(0.0, f64::max);
        let longest = self.line.as_ref().map_or(longest, |(at, _)| longest.max(*at)).max(f64::MIN_POSITIVE);
        let scale = (RIGHT - LEFT) / longest;
        let (mut body, mut y) = (String::new(), TOP);
        for (heading, bars) in &self.groups {
            if !heading.is_empty() {
                text(&mut body, 16.0, y + 10.0, "heading", "start", heading);
                y += ROW;
            }
            for bar in bars {
                let (class, width) = (if bar.ours { "ours" } else { "other" }, (bar.value * scale).max(1.0));
                text(&mut body, LEFT - 8.0, y + 13.0, "", "end", &bar.label);
                let _ = writeln!(
                    body,
                    "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"17\" rx=\"2\"/>"
                );
                text(&mut body, RIGHT + 14.0, y + 13.0, "", "start", &bar.text);
                y += ROW;
            }
            y += 10.0;
        }
        if let Some((at, label)) = &self.line {
            let x = LEFT + at * scale;
            let _ = writeln!(
                body,
                "<line class=\"line\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\"/>",
                TOP - 8.0,
                y - 8.0
            );
            text(&mut body, x, TOP - 14.0, "mark", "middle", label);
        }
        let mut head = String::new();
        text(&mut head, 16.0, 28.0, "title", "start", &self.title);
        text(&mut head, 16.0, 49.0, "soft", "start", &self.subtitle);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" \
             role=\"img\">\n<title>{}</title>\n{STYLE}<rect class=\"page\" width=\"100%\" height=\"100%\" \
             rx=\"6\"/>\n{head}{body}</svg>\n",
            escaped(&self.title)
        )
    }
}

fn text(to: &mut String, x: f64, y: f64, class: &str, anchor: &str, words: &str) {
    let words = escaped(words);
    let _ = writeln!(
        to,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_words_and_its_line() {
        let bar = Bar { label: "a < b".into(), value: 2.0, text: "2.0".into(), ours: true };
        let chart = Chart {
            title: "A & B".into(),
            subtitle: String::new(),
            line: Some((1.0, "b = 1.0".into())),
            groups: vec![("group".into(), vec![bar])],
        };
        let svg = chart.svg();
        for part in ["A &amp; B", "a &lt; b", "b = 1.0", "class=\"ours\"", "prefers-color-scheme: dark"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }
}
