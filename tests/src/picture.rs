//! Text of a terminal as a picture that scales.

use std::fmt::Write;

/// In pixels: the height of a line, the width of a letter of 14 pixels, and what is free around the text.
const LINE: usize = 18;
const LETTER: f64 = 8.4;
const MARGIN: usize = 16;

/// An SVG of these lines, readable on a light and on a dark page. Its text can be searched and read aloud.
pub fn terminal(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let columns = lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive number"
    )]
    let width = (columns as f64).mul_add(LETTER, 2.0 * MARGIN as f64).ceil() as usize;
    let height = lines.len() * LINE + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#14171a\"/>\n"
    );
    for (number, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let y = MARGIN + LINE * number + 14;
        let colour = match line.chars().next() {
            Some('$') => "#8fd6a8",
            Some(first) if first.is_ascii_digit() => "#ffffff",
            _ => "#c9d0d7",
        };
        let escaped = line
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        // a String takes whatever is written
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{y}\" fill=\"{colour}\" xml:space=\"preserve\">{escaped}</text>"
        );
    }
    svg + "</svg>\n"
}

/// The lines of a picture that [`terminal`] made.
pub fn lines_of(svg: &str) -> Vec<String> {
    svg.lines()
        .filter(|line| line.starts_with("<text"))
        .filter_map(|line| line.split_once('>')?.1.strip_suffix("</text>"))
        .map(|line| {
            line.replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&")
        })
        .collect()
}
