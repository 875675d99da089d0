//! Text in markup, and pieces of SVG. May import: nothing of ours.

use std::fmt::Write;

/// Text that means itself, in content and in attributes. What XML can't hold becomes a question mark.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// The text, cut in its middle to at most so many characters.
pub(super) fn clip(text: &str, most: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= most {
        return text.to_owned();
    }
    let (head, tail) = (most / 2, most - most / 2 - 1);
    chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect()
}

/// A picture of that size, which becomes smaller where the page is narrow.
pub(super) fn svg(width: f64, height: f64, about: &str, content: &str) -> String {
    format!(
        "<div class=\"scroll\"><svg viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"{}\">\n{content}</svg></div>\n",
        escape(about)
    )
}

/// A rectangle with a text that shows when it is pointed at.
pub(super) fn rect(out: &mut String, class: &str, [x, y, width, height]: [f64; 4], hint: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"3\">\
         <title>{}</title></rect>",
        escape(hint)
    );
}

/// Words at a place.
pub(super) fn text(out: &mut String, class: &str, [x, y]: [f64; 2], words: &str) {
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(words));
}

/// A line through points.
pub(super) fn line(out: &mut String, class: &str, points: &[[f64; 2]]) {
    let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(out, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
}

/// The colour of an operation, as a class.
pub(super) fn class(op: &str) -> &'static str {
    match op {
        "gemm" => "gemm",
        "lstm" => "lstm",
        "attention" => "attention",
        "layer_norm" | "normalize" => "norm",
        "patches" | "embed" => "embed",
        _ => "other",
    }
}

/// What the colours mean.
pub(super) fn legend() -> String {
    let entries = [
        ("gemm", "products"),
        ("lstm", "recurrences"),
        ("attention", "attention"),
        ("norm", "normalisation"),
        ("embed", "patches, embeddings"),
        ("other", "others"),
    ];
    let mut html = "<p class=\"legend\">".to_owned();
    for (class, name) in entries {
        let _ = write!(html, "<span><i class=\"{class}\"></i>{name}</span> ");
    }
    html + "</p>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_only_text() {
        assert_eq!(escape("<b a=\"1\" b='2'>&\u{1b}"), "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;?");
        assert_eq!([clip("blocks.0", 8), clip("blocks.10.attn", 7)], ["blocks.0", "blo…ttn"]);
    }
}
