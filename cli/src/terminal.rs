//! Text as wide as the terminal, and nothing in it that steers one.

use std::io::{self, Write};

use console::Term;
use textwrap::{Options, WordSplitter};

/// A line on stderr, wrapped where a terminal would break words.
pub(crate) fn talk(line: &str) {
    let text = match Term::stderr().size_checked() {
        Some((_, columns)) => textwrap::fill(line, whole_words(columns.into())),
        None => line.to_owned(),
    };
    // nobody is left to hear of a closed stderr
    let _ = writeln!(io::stderr(), "{text}");
}

/// How text is wrapped: an id, or a flag such as --database-url, stays in one piece.
pub(crate) fn whole_words<'a>(width: usize) -> Options<'a> {
    Options::new(width)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
}

/// Text for people, each line wrapped where a terminal would; what is wrapped is indented by `indent` more than its line.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let fill = |line: &str| {
        let own = line.len() - line.trim_start().len();
        let indent = format!("{}{indent}", &line[..own]);
        textwrap::fill(line, whole_words(width()).subsequent_indent(&indent))
    };
    text.split('\n').map(fill).collect::<Vec<_>>().join("\n")
}

/// SQL to be read and copied. What a terminal would cut within a word goes on in the next line: a comment as a comment,
/// and a statement of one line at a space that stands in no quotes. It means the same.
pub(crate) fn sql(text: &str) -> String {
    match Term::stdout().size_checked() {
        Some(_) => wrapped_sql(text, width()),
        None => text.to_owned(),
    }
}

fn wrapped_sql(text: &str, width: usize) -> String {
    let is_one_line = !text.trim_end().contains('\n');
    let fill = |line: &str| {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim_start().starts_with("--") {
            let indent = format!("{indent}-- ");
            textwrap::fill(line, whole_words(width).subsequent_indent(&indent))
        } else if is_one_line {
            let indent = format!("{indent}  ");
            let kept = without_spaces_in_quotes(line);
            textwrap::fill(&kept, whole_words(width).subsequent_indent(&indent))
                .replace(QUOTED_SPACE, " ")
        } else {
            line.to_owned()
        }
    };
    text.split('\n').map(fill).collect::<Vec<_>>().join("\n")
}

/// Stands for a space at which no line may break. What comes here holds no control character.
const QUOTED_SPACE: char = '\u{1}';

fn without_spaces_in_quotes(line: &str) -> String {
    let mut quote = None;
    line.chars()
        .map(|c| match quote {
            Some(open) if c == open => {
                quote = None;
                c
            }
            Some(_) if c == ' ' => QUOTED_SPACE,
            Some(_) => c,
            None => {
                quote = ['\'', '"'].contains(&c).then_some(c);
                c
            }
        })
        .collect()
}

/// Names from the catalog may hold anything; nothing of it steers a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

pub(crate) fn one_line(text: &str) -> String {
    printable(text).replace('\n', " ")
}

/// Columns of the terminal; 100 where there is none, as long as a help line.
pub(crate) fn width() -> usize {
    Term::stdout()
        .size_checked()
        .map_or(100, |(_, columns)| usize::from(columns))
        .clamp(40, 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_breaks_where_it_means_the_same() {
        for (text, shown) in [
            (
                "  update t set a = 'one two three four' where b is null;",
                "  update t set a =\n    'one two three four'\n    where b is null;",
            ),
            (
                "-- what a column was concluded from\nselect 1 as a, 2 as b, 3 as c\nfrom t",
                "-- what a column was\n-- concluded from\nselect 1 as a, 2 as b, 3 as c\nfrom t",
            ),
        ] {
            assert_eq!(wrapped_sql(text, 23), shown);
        }
    }
}
