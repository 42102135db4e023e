//! Where a PL/pgSQL function catches errors, and its text with a note of each error that it catches.
//!
//! The text is read word by word, since only the nesting tells a handler's `when … then` from that of a `case`.

/// Put after the `then` of every handler: the function goes on as it would, and the error was noted. An assignment, since
/// `perform` would change what `found` says. On one line, so that PostgreSQL counts lines as before.
const NOTE: &str = concat!(
    " declare rollcall_state text; rollcall_constraint text; rollcall_column text; rollcall_table text;",
    " rollcall_message text; rollcall_context text; begin get stacked diagnostics rollcall_state = returned_sqlstate,",
    " rollcall_constraint = constraint_name, rollcall_column = column_name, rollcall_table = table_name,",
    " rollcall_message = message_text, rollcall_context = pg_exception_context;",
    " rollcall_state := pg_temp.rollcall_swallowed(rollcall_state, rollcall_constraint, rollcall_column,",
    " pg_catalog.concat(rollcall_table, ' ', rollcall_message, ' ', rollcall_context), rollcall_context); end;",
);

/// The text of a function with every caught error noted, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It catches nothing.
    CatchesNothing,
    /// It catches errors, and this notes each of them.
    Text(String),
    /// Its blocks were not understood.
    NotUnderstood,
}

/// What an `end` may close.
#[derive(PartialEq, Eq)]
enum Open {
    Block { catches: bool },
    Case,
    Loop,
}

/// Lets the function note what it catches.
pub(super) fn note_errors(source: &str) -> Noted {
    let tokens = tokens(source);
    let word = |place: usize| tokens.get(place).map_or("", |token| token.word.as_str());
    let mut open = Vec::new();
    let mut places = Vec::new();
    let mut place = 0;
    while place < tokens.len() {
        match word(place) {
            "begin" => open.push(Open::Block { catches: false }),
            "case" => open.push(Open::Case),
            "loop" => open.push(Open::Loop),
            "end" => match (word(place + 1), open.last()) {
                ("if", _) => place += 1,
                ("loop", Some(Open::Loop)) | ("case", Some(Open::Case)) => {
                    open.pop();
                    place += 1;
                }
                (_, Some(Open::Case | Open::Block { .. })) => {
                    open.pop();
                }
                _ => return Noted::NotUnderstood,
            },
            "exception" if word(place + 1) == "when" => match open.last_mut() {
                Some(Open::Block { catches }) => *catches = true,
                _ => return Noted::NotUnderstood,
            },
            "when" if open.last() == Some(&Open::Block { catches: true }) => {
                if let Some(then) = handler(&tokens, place) {
                    places.push(tokens[then].end);
                    place = then;
                }
            }
            _ => {}
        }
        place += 1;
    }
    if !open.is_empty() {
        return Noted::NotUnderstood;
    }
    if places.is_empty() {
        return Noted::CatchesNothing;
    }
    let mut text = String::with_capacity(source.len() + places.len() * NOTE.len());
    let mut done = 0;
    for at in places {
        text += &source[done..at];
        text += NOTE;
        done = at;
    }
    Noted::Text(text + &source[done..])
}

/// The `then` of a handler that begins at this `when`: conditions with `or` between them. Not that of a `merge`, nor of
/// `exit when`, which has none.
fn handler(tokens: &[Token], when: usize) -> Option<usize> {
    let mut place = when + 1;
    loop {
        match tokens.get(place)?.word.as_str() {
            "" | "matched" | "not" => return None,
            "sqlstate" => place += 2,
            _ => place += 1,
        }
        match tokens.get(place)?.word.as_str() {
            "then" => return Some(place),
            "or" => place += 1,
            _ => return None,
        }
    }
}

/// A word in lower case, or something else, whose word is empty.
struct Token {
    word: String,
    end: usize,
}

/// What is neither space nor comment.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else {
            let (word, length) = token(rest, first);
            tokens.push(Token {
                word,
                end: source.len() - rest.len() + length,
            });
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// The token at the beginning of a text, and how long it is.
fn token(text: &str, first: char) -> (String, usize) {
    if is_in_word(first) && !first.is_ascii_digit() && first != '$' {
        let length = text.find(|c: char| !is_in_word(c)).unwrap_or(text.len());
        // e'…' is a string with escapes
        if length == 1 && matches!(first, 'e' | 'E') && text[1..].starts_with('\'') {
            return (String::new(), 1 + quoted(&text[1..], '\'', true));
        }
        return (text[..length].to_lowercase(), length);
    }
    let length = match first {
        '\'' | '"' => quoted(text, first, false),
        '$' => dollar_quoted(text),
        // 1e5, 1..5: what follows the digits is no word that matters
        _ if first.is_ascii_digit() => text.find(|c: char| !is_in_word(c)).unwrap_or(text.len()),
        _ => first.len_utf8(),
    };
    (String::new(), length)
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

/// The length of a comment, which may hold others.
fn comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a quoted text; a doubled quote is part of it.
fn quoted(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == '\\' && has_escapes {
            characters.next();
        } else if c == quote {
            if characters.peek().is_none_or(|(_, next)| *next != quote) {
                return at + quote.len_utf8();
            }
            characters.next();
        }
    }
    text.len()
}

/// The length of a `$tag$ … $tag$`, or of a single `$`.
fn dollar_quoted(text: &str) -> usize {
    let Some(tag) = text[1..].find('$').map(|at| &text[..at + 2]) else {
        return 1;
    };
    let name = &tag[1..tag.len() - 1];
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_in_word) {
        return 1;
    }
    text[tag.len()..]
        .find(tag)
        .map_or(text.len(), |at| at + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With `✎` for the note.
    fn noted(source: &str) -> String {
        match note_errors(source) {
            Noted::Text(text) => text.replace(NOTE, " ✎"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_handler_of_every_block_notes_what_it_caught() {
        assert_eq!(
            noted("begin insert into t values (1); exception when others then return new; end"),
            "begin insert into t values (1); exception when others then ✎ return new; end"
        );
        assert_eq!(
            noted(
                "BEGIN BEGIN x; EXCEPTION WHEN unique_violation OR SQLSTATE '23503' THEN NULL; WHEN OTHERS THEN NULL; END; \
                 EXCEPTION WHEN raise_exception THEN NULL; END;"
            ),
            "BEGIN BEGIN x; EXCEPTION WHEN unique_violation OR SQLSTATE '23503' THEN ✎ NULL; WHEN OTHERS THEN ✎ NULL; END; \
                 EXCEPTION WHEN raise_exception THEN ✎ NULL; END;"
        );
        // a handler that has a block, a loop and an exit of its own
        assert_eq!(
            noted(
                "begin loop begin x; exit; exception when a then begin y; exception when b then z; end; \
                 if c then exit when d; end if; when e then f; end; end loop; end"
            ),
            "begin loop begin x; exit; exception when a then ✎ begin y; exception when b then ✎ z; end; \
                 if c then exit when d; end if; when e then ✎ f; end; end loop; end"
        );
    }

    #[test]
    fn what_only_looks_like_a_handler_is_left_alone() {
        for harmless in [
            "begin case x when a then y; when others then z; end case; end",
            "begin for i in 1..case when a then b else c end loop x; end loop; end",
            "begin raise exception 'exception when others then'; end",
            "begin -- exception when others then\n /* exception /* when */ others then */ x; end",
            "begin x := $a$ exception when others then $a$ || e'\\' exception when others then '; end",
            "begin \"exception when others then\" := $1; end",
        ] {
            assert_eq!(note_errors(harmless), Noted::CatchesNothing, "{harmless}");
        }
        // in the handler itself
        assert_eq!(
            noted(
                "begin x; exception when others then x := case when a then b when c then d end; \
                 case y when a then z; end case; merge into t using s on true when matched then delete; end"
            ),
            "begin x; exception when others then ✎ x := case when a then b when c then d end; \
                 case y when a then z; end case; merge into t using s on true when matched then delete; end"
        );
    }

    #[test]
    fn a_text_that_is_not_understood_is_not_changed() {
        for odd in [
            "begin x; end; end",
            "begin x; exception when others then y;",
            "end",
        ] {
            assert_eq!(note_errors(odd), Noted::NotUnderstood, "{odd}");
        }
    }
}
