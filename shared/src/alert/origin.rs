//! Where a message comes from: the names of project and environment, and links for the reader.

/// The longest name, in characters; and the longest in a subject, which has to hold what happened, too.
const MAX_NAME: usize = 100;
const MAX_NAME_IN_SUBJECT: usize = 25;

/// The longest link, in bytes.
const MAX_URL: usize = 500;

/// The sender of a message, as its readers know them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origin {
    /// The project, of several that may write to one inbox.
    pub project: Option<String>,
    /// Its environment, as `production`.
    pub environment: Option<String>,
    /// Where to read on.
    pub links: Vec<Link>,
}

/// A page to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What is there, in a word.
    pub title: &'static str,
    /// Its address, without white space.
    pub url: String,
}

impl Origin {
    /// `PROJECT_NAME`, `ENVIRONMENT_NAME`, `DASHBOARD_URL` and `GUIDE_URL`, as `variable` finds them; all may be missing.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let links = [("Dashboard", "DASHBOARD_URL"), ("Guide", "GUIDE_URL")];
        links
            .into_iter()
            .filter_map(|(title, name)| Some((title, variable(name)?)))
            .fold(
                Self {
                    project: variable("PROJECT_NAME").and_then(|name| self::name(&name)),
                    environment: variable("ENVIRONMENT_NAME").and_then(|name| self::name(&name)),
                    links: Vec::new(),
                },
                |origin, (title, url)| origin.with_link(title, url.trim()),
            )
    }

    /// The same for a project that somebody named.
    #[must_use]
    pub fn of_project(mut self, project: &str) -> Self {
        self.project = name(project).or(self.project);
        self
    }

    /// The same with another link, unless it is none.
    #[must_use]
    pub fn with_link(mut self, title: &'static str, url: &str) -> Self {
        let is_link = ["https://", "http://"]
            .iter()
            .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
            && url.len() <= MAX_URL
            && url.bytes().all(|byte| byte.is_ascii_graphic());
        if is_link {
            self.links.push(Link {
                title,
                url: url.to_owned(),
            });
        } else if !url.is_empty() {
            tracing::warn!(title, "not a web address; messages go without this link");
        }
        self
    }

    /// `myapp production`; none where neither has a name.
    pub fn name(&self) -> Option<String> {
        self.names(MAX_NAME)
    }

    /// The same for a subject.
    pub(super) fn short_name(&self) -> Option<String> {
        self.names(MAX_NAME_IN_SUBJECT)
    }

    fn names(&self, limit: usize) -> Option<String> {
        let names: Vec<String> = [&self.project, &self.environment]
            .into_iter()
            .flatten()
            .map(|name| name.chars().take(limit).collect::<String>())
            .collect();
        (!names.is_empty()).then(|| names.join(" "))
    }
}

/// A name in one line, without blanks around it, cut where it is too long. None: there is nothing left.
fn name(text: &str) -> Option<String> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let name: String = words.join(" ").chars().take(MAX_NAME).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Origin {
        Origin::from_variables(|name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_needs_to_be_set() {
        assert_eq!(of(&[]), Origin::default());
        assert_eq!(of(&[("PROJECT_NAME", " \n"), ("GUIDE_URL", "")]), of(&[]));
        assert_eq!(Origin::default().name(), None);
    }

    #[test]
    fn names_are_one_line_and_short() {
        let origin = of(&[
            ("PROJECT_NAME", " my\r\n app "),
            ("ENVIRONMENT_NAME", &"x".repeat(101)),
        ]);
        assert_eq!(origin.project.as_deref(), Some("my app"));
        assert_eq!(origin.environment, Some("x".repeat(MAX_NAME)));
        assert_eq!(origin.clone().of_project("").name(), origin.name());
        let named = origin.of_project("other");
        let name = |length| Some(format!("other {}", "x".repeat(length)));
        assert_eq!(named.name(), name(MAX_NAME));
        assert_eq!(named.short_name(), name(MAX_NAME_IN_SUBJECT));
    }

    #[test]
    fn a_link_that_is_none_is_left_out() {
        for url in ["https://", "javascript:alert(1)", "https://a b", "/x"] {
            assert_eq!(of(&[("DASHBOARD_URL", url)]).links, [], "{url}");
        }
        let links = of(&[("GUIDE_URL", " https://guide.example/#a ")]).links;
        assert_eq!(
            (links[0].title, links[0].url.as_str()),
            ("Guide", "https://guide.example/#a")
        );
    }
}
