//! What is expected of a generated application, as lines in the head of its file.

use rollcall_sandbox::SignupKind;

use super::application::{
    Application, Beside, Columns, Condition, Email, Gate, Handler, Moment, Place, Table, Username,
};
use crate::shape::name_of;

/// Those of whom only members sign up, where there is a gate.
pub(super) const DOMAIN: &str = "corp.test";

impl Application {
    /// The application as a file of the corpus.
    pub(super) fn file(&self) -> String {
        format!("{}\n{}", self.head(), self.sql())
    }

    fn head(&self) -> String {
        let target = if self.is_found() {
            format!("target {} {}", self.table_name(), self.key_column())
        } else {
            "target none".to_owned()
        };
        let mut lines = vec![target, self.form(), "make maybe".to_owned()];
        if self.gate != Gate::None {
            lines.push(format!("domain {DOMAIN}"));
            lines.push("outsiders refused".to_owned());
        }
        let named = |word: &str, is_so: &dyn Fn(SignupKind) -> bool| {
            let names: Vec<&str> = SignupKind::ALL
                .into_iter()
                .filter(|kind| is_so(*kind))
                .map(name_of)
                .collect();
            (!names.is_empty()).then(|| format!("{word} {}", names.join(" ")))
        };
        lines.extend(named("refused", &|kind| self.refuses(kind)));
        lines.extend(named("left-out", &|kind| self.leaves_out(kind)));
        if self.moment == Moment::ByClient {
            lines.push(format!("by-client {}", self.insert_of_the_client()));
        }
        if self.moment != Moment::AtInsert {
            let word = if self.has_other_triggers_at_insert() {
                "none"
            } else {
                "no"
            };
            lines.push(format!("replay {word}"));
        }
        if self.username == Username::MadeUp {
            lines.push("repair replay".to_owned());
        } else if self.place() == Place::OnTheProfile && self.table_beside().is_some() {
            lines.push("undo other tables stays".to_owned());
        }
        if let Some(table) = self.table_beside().filter(|_| self.is_seen_in_a_trial()) {
            lines.push(format!("also {table}"));
        }
        let differs: Vec<_> = [
            // what people may not choose for themselves
            (self.has(Columns::Cast), "role"),
            // a name that is taken would cost the user the profile
            (self.username == Username::Chosen, "username"),
        ]
        .into_iter()
        .filter_map(|(is_so, column)| is_so.then_some(column))
        .collect();
        if !differs.is_empty() {
            lines.push(format!("differs {}", differs.join(" ")));
        }
        let warned = self.warnings();
        if !warned.is_empty() {
            lines.push(format!("warned {}", warned.join(" ")));
        }
        lines
            .iter()
            .map(|line| format!("-- @{line}\n"))
            .collect::<String>()
    }

    /// Whether the table stands out as that of the profiles: a trigger fills it, or its name or a reference tells.
    fn is_found(&self) -> bool {
        self.moment != Moment::ByClient
            || self.table == Table::Profiles
            || self.table != Table::OurView && !self.deletes_by_trigger()
    }

    fn form(&self) -> String {
        let mut fields = vec!["full_name=Person {n}"];
        if self.username == Username::Chosen {
            fields.push("username=person_{n}");
        }
        if self.has(Columns::Cast) {
            fields.push("role=teacher");
        }
        if self.has(Columns::Ours) {
            fields.push("seen=often {n}");
        }
        format!("form {}", fields.join("; "))
    }

    /// Whether a gate refuses a signup of this kind: it wants an address of its own domain.
    fn refuses(&self, kind: SignupKind) -> bool {
        let asks = match self.gate {
            Gate::None => false,
            // the trigger's condition decides whom its function ever sees
            Gate::InTheFunction if self.sees_the_row() => self.meets_condition(kind),
            _ => true,
        };
        asks && !has_email(kind)
    }

    fn leaves_out(&self, kind: SignupKind) -> bool {
        if self.refuses(kind) {
            return false;
        }
        let is_made = match self.moment {
            Moment::AtInsert | Moment::AtCommit | Moment::ForEachStatement => {
                self.meets_condition(kind)
            }
            Moment::AtConfirmation => matches!(
                kind,
                SignupKind::EmailAutoconfirm
                    | SignupKind::PhoneAutoconfirm
                    | SignupKind::Oauth
                    | SignupKind::Saml
                    | SignupKind::AdminCreate
            ),
            Moment::WithIdentity => kind != SignupKind::Anonymous,
            Moment::ByClient => return false,
        };
        !is_made || self.email == Email::Required && !has_email(kind)
    }

    fn meets_condition(&self, kind: SignupKind) -> bool {
        match self.condition {
            Condition::None => true,
            Condition::NotAnonymous => kind != SignupKind::Anonymous,
            Condition::WithAddress => has_email(kind),
        }
    }

    /// Whether a trigger that makes no profile fires after the insert of a user.
    fn has_other_triggers_at_insert(&self) -> bool {
        self.place() == Place::OfItsOwn && self.beside != Beside::Nothing
            || self.gate == Gate::OfItsOwn
            || self.gate == Gate::InTheFunction && !self.sees_the_row()
    }

    /// Whether an install learns by a trial what a signup writes beside the profile.
    fn is_seen_in_a_trial(&self) -> bool {
        match self.moment {
            Moment::AtInsert => true,
            Moment::ForEachStatement => self.place() == Place::OfItsOwn,
            _ => false,
        }
    }

    /// The table that a signup writes beside the profiles.
    pub(super) fn table_beside(&self) -> Option<&'static str> {
        match self.beside {
            Beside::Nothing | Beside::Number => None,
            Beside::Wallet => Some("public.wallets"),
            Beside::Membership => Some("public.tenant_members"),
            Beside::Role => Some("public.user_roles"),
            Beside::Journal => Some("public.journal"),
            Beside::Statistics => Some("public.statistics"),
        }
    }

    /// Findings that are right to warn of what it does.
    fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.moment == Moment::ByClient {
            return warnings;
        }
        if self.has(Columns::Cast) {
            warnings.push("signup_function_casts_metadata");
        }
        if self.handler() == Handler::Swallow {
            warnings.push("signup_function_hides_errors");
        }
        warnings
    }
}

fn has_email(kind: SignupKind) -> bool {
    !matches!(
        kind,
        SignupKind::PhoneAutoconfirm
            | SignupKind::PhoneConfirmation
            | SignupKind::Web3
            | SignupKind::Anonymous
    )
}
