//! A file of the corpus: SQL, and lines `-- @word …` in its head that say what is expected.
//!
//! | line | means |
//! |---|---|
//! | `@target TABLE KEY` | the table that holds the profiles, and the column with the user's id, both quoted as SQL wants them; `none`: no definition |
//! | `@candidates TABLES` | where there is no definition: tables that have to be named as candidates |
//! | `@because WORDS` | where there is no definition: words of the reason |
//! | `@also TABLES` | other tables that a signup writes |
//! | `@form KEY=VALUE; …` | what the signup's form puts into the metadata; `{n}` is the person's number, `{d}` its last digit |
//! | `@domain DOMAIN` | of the addresses of those who belong here |
//! | `@outsiders refused` | addresses of other domains cannot sign up |
//! | `@left-out KINDS` | sign up and get no profile |
//! | `@refused KINDS` | cannot sign up; `all` |
//! | `@by-client SQL` | what the browser does after the first login, as `authenticated` |
//! | `@by-server SQL` | what the server does after the first login; `$1` is the user's id |
//! | `@make yes`, `@make no WORDS`, `@make maybe` | whether Rollcall's trigger may be installed, or why not; `maybe`: as its plan says |
//! | `@repair replay` | a repair by the definition cannot make these profiles, one through the application's triggers can |
//! | `@replay no` | no trigger on the insert of a user makes these profiles, so a replay is refused |
//! | `@replay none` | there are such triggers, but none of them makes a profile, so a replay leaves everything as it is |
//! | `@sends requests` | making a profile sends requests to other servers |
//! | `@undo WORDS` | an undo leaves something, and says so |
//! | `@differs COLUMNS` | columns of the profile that a repair by the definition may fill otherwise |
//! | `@random TABLE.COLUMN` | a column that the application fills at random |
//! | `@claims PERSONS` | people whose signup takes over a row that was there before |
//! | `@healthy no` | signups are broken from the beginning |
//! | `@warned IDS` | findings that are right to warn of what this application does |
//! | `@permanent profile` | an anonymous user who becomes permanent gets a profile, where anonymous ones are left out |
//! | `@named WORD` | what is broken, as `doctor` has to name it |
//! | `@auth before-anonymous` | Supabase Auth is older than anonymous users |

use anyhow::{Context, Result, bail};
use rollcall_sandbox::SignupKind;

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) sql: String,
    pub(crate) target: Option<Target>,
    pub(crate) candidates: Vec<String>,
    pub(crate) because: Option<String>,
    pub(crate) also: Vec<String>,
    form: Vec<(String, String)>,
    pub(crate) domain: Option<String>,
    pub(crate) outsiders_refused: bool,
    left_out: Vec<SignupKind>,
    refused: Vec<SignupKind>,
    pub(crate) by_client: Option<String>,
    pub(crate) by_server: Option<String>,
    pub(crate) make_refused: Option<String>,
    pub(crate) make_as_planned: bool,
    pub(crate) needs_replay: bool,
    pub(crate) no_replay: bool,
    pub(crate) empty_replay: bool,
    pub(crate) sends_requests: bool,
    pub(crate) undo_leaves: Option<String>,
    pub(crate) differs: Vec<String>,
    pub(crate) random: Option<(String, String)>,
    pub(crate) claims: Vec<String>,
    pub(crate) broken: bool,
    pub(crate) named: Option<String>,
    pub(crate) warned: Vec<String>,
    pub(crate) permanent_profile: bool,
    pub(crate) before_anonymous: bool,
}

/// Where the profiles are.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) table: String,
    pub(crate) key: String,
}

/// The names of the kinds of signup in the corpus.
const KINDS: [(&str, SignupKind); 12] = [
    ("email", SignupKind::EmailAutoconfirm),
    ("email-unconfirmed", SignupKind::EmailConfirmation),
    ("phone", SignupKind::PhoneAutoconfirm),
    ("phone-unconfirmed", SignupKind::PhoneConfirmation),
    ("oauth", SignupKind::Oauth),
    ("oauth-unverified", SignupKind::OauthUnverified),
    ("saml", SignupKind::Saml),
    ("web3", SignupKind::Web3),
    ("anonymous", SignupKind::Anonymous),
    ("invite", SignupKind::Invite),
    ("link", SignupKind::GeneratedLink),
    ("admin", SignupKind::AdminCreate),
];

impl Shape {
    pub(crate) fn parse(name: &str, sql: &str) -> Result<Self> {
        let mut shape = Self {
            name: name.to_owned(),
            sql: sql.to_owned(),
            ..Self::default()
        };
        let mut has_target = false;
        for line in sql.lines() {
            let Some(line) = line.strip_prefix("-- @") else {
                continue;
            };
            let (word, rest) = line
                .split_once(' ')
                .with_context(|| format!("{name}: @{line} says nothing"))?;
            match word {
                "target" => {
                    has_target = true;
                    shape.target = match words(rest).as_slice() {
                        [table, key] => Some(Target {
                            table: table.clone(),
                            key: key.clone(),
                        }),
                        [none] if none == "none" => None,
                        _ => bail!("{name}: @target {rest}"),
                    };
                }
                "candidates" => shape.candidates = words(rest),
                "because" => shape.because = Some(rest.to_owned()),
                "also" => shape.also = words(rest),
                "form" => {
                    for field in rest.split(';') {
                        let (key, value) = field
                            .split_once('=')
                            .with_context(|| format!("{name}: {field}"))?;
                        shape.form.push((key.trim().to_owned(), value.to_owned()));
                    }
                }
                "domain" => shape.domain = Some(rest.to_owned()),
                "outsiders" => shape.outsiders_refused = rest == "refused",
                "left-out" => shape.left_out = kinds(rest)?,
                "refused" => shape.refused = kinds(rest)?,
                "by-client" => shape.by_client = Some(rest.to_owned()),
                "by-server" => shape.by_server = Some(rest.to_owned()),
                "make" => {
                    shape.make_refused = rest.strip_prefix("no").map(|why| why.trim().to_owned());
                    shape.make_as_planned = rest == "maybe";
                }
                "repair" => shape.needs_replay = rest == "replay",
                "replay" => {
                    shape.no_replay = rest == "no";
                    shape.empty_replay = rest == "none";
                }
                "sends" => shape.sends_requests = rest == "requests",
                "undo" => shape.undo_leaves = Some(rest.to_owned()),
                "differs" => shape.differs = words(rest),
                "random" => {
                    shape.random = rest
                        .rsplit_once('.')
                        .map(|(table, column)| (table.to_owned(), column.to_owned()));
                }
                "claims" => shape.claims = words(rest),
                "healthy" => shape.broken = rest == "no",
                "named" => shape.named = Some(rest.to_owned()),
                "warned" => shape.warned = words(rest),
                "permanent" => shape.permanent_profile = rest == "profile",
                "auth" => shape.before_anonymous = rest == "before-anonymous",
                _ => bail!("{name}: @{word} means nothing"),
            }
        }
        if !has_target {
            bail!("{name}: no @target");
        }
        Ok(shape)
    }

    /// The fields of the form as person `number` fills them.
    pub(crate) fn form(&self, number: u32) -> impl Iterator<Item = (&str, String)> {
        self.form.iter().map(move |(key, value)| {
            let value = value
                .replace("{n}", &number.to_string())
                .replace("{d}", &(number % 10).to_string());
            (key.as_str(), value)
        })
    }

    /// Whether such a signup is let in.
    pub(crate) fn lets_in(&self, kind: SignupKind) -> bool {
        !self.refused.contains(&kind)
    }

    /// Whether such a signup gets its profile at once, with what the browser does after the login.
    pub(crate) fn makes_profile(&self, kind: SignupKind) -> bool {
        self.target.is_some()
            && !self.left_out.contains(&kind)
            && (self.by_client.is_none() || logs_in(kind))
    }

    /// Every kind of signup that this release of Supabase Auth has.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = SignupKind> {
        SignupKind::ALL
            .into_iter()
            .filter(|kind| !self.before_anonymous || *kind != SignupKind::Anonymous)
    }
}

/// Whether somebody who comes this way is signed in at once.
pub(crate) fn logs_in(kind: SignupKind) -> bool {
    !matches!(
        kind,
        SignupKind::EmailConfirmation
            | SignupKind::PhoneConfirmation
            | SignupKind::OauthUnverified
            | SignupKind::Invite
            | SignupKind::GeneratedLink
    )
}

/// Words between spaces; within double quotes a space is one of the word's letters.
fn words(text: &str) -> Vec<String> {
    let mut is_quoted = false;
    text.split(|letter: char| {
        is_quoted ^= letter == '"';
        letter == ' ' && !is_quoted
    })
    .filter(|word| !word.is_empty())
    .map(str::to_owned)
    .collect()
}

/// What the corpus calls a kind of signup.
pub(crate) fn name_of(kind: SignupKind) -> &'static str {
    KINDS
        .iter()
        .find(|(_, known)| *known == kind)
        .map_or("unknown", |(name, _)| name)
}

fn kinds(names: &str) -> Result<Vec<SignupKind>> {
    if names == "all" {
        return Ok(SignupKind::ALL.to_vec());
    }
    names
        .split_whitespace()
        .map(|name| {
            let found = KINDS.iter().find(|(known, _)| *known == name);
            found
                .map(|(_, kind)| *kind)
                .with_context(|| format!("there is no kind of signup {name}"))
        })
        .collect()
}
