//! A definition as a file: the query, with its table in a comment on top.

const TABLE: &str = "-- table: ";

/// A definition as `rollcall definition draft` prints it and `rollcall definition set` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionFile {
    /// The profile table, where the file names one.
    pub table: Option<String>,
    /// The query, with its other comments.
    pub query: String,
}

impl DefinitionFile {
    /// Reads the text of a file. The line that names the table stands before the first line that is no comment.
    pub fn parse(text: &str) -> Self {
        let mut table = None;
        let mut is_head = true;
        let mut query = String::new();
        for line in text.trim_start_matches('\u{feff}').lines() {
            is_head &= line.trim().is_empty() || line.starts_with("--");
            match line.strip_prefix(TABLE) {
                Some(name) if is_head && table.is_none() => table = Some(name.trim().to_owned()),
                _ => {
                    query += line;
                    query.push('\n');
                }
            }
        }
        Self {
            table,
            query: query.trim().to_owned(),
        }
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let head = self
            .table
            .as_ref()
            .map_or_else(String::new, |table| format!("{TABLE}{table}\n"));
        format!("{head}{}\n", self.query.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let file = DefinitionFile {
            table: Some("app.\"My Members\"".to_owned()),
            query: "-- 98 % of the rows\nselect u.id as _user_id\nfrom auth.users u".to_owned(),
        };
        assert_eq!(
            file.text().lines().next(),
            Some("-- table: app.\"My Members\"")
        );
        assert_eq!(DefinitionFile::parse(&file.text()), file);
        // as an editor of Windows saves it
        let saved = format!("\u{feff}{}", file.text().replace('\n', "\r\n"));
        assert_eq!(DefinitionFile::parse(&saved), file);
    }

    #[test]
    fn a_file_need_not_name_its_table() {
        let file = DefinitionFile::parse("select 1\n-- table: public.other\n");
        assert_eq!(file.table, None);
        assert_eq!(file.query, "select 1\n-- table: public.other");
    }
}
