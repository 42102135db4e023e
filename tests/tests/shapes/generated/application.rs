//! What a generated application is like: one choice in each dimension, the simplest first.

use anyhow::{Result, anyhow};
use proptest::{
    sample::select,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

/// A dimension with its choices, the simplest first.
macro_rules! dimension {
    ($(#[$about:meta])* $Name:ident { $simplest:ident $(, $(#[$meaning:meta])* $other:ident)* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) enum $Name {
            #[default]
            $simplest,
            $($(#[$meaning])* $other),*
        }

        impl $Name {
            const ALL: &[Self] = &[Self::$simplest, $(Self::$other),*];
        }
    };
}

macro_rules! application {
    ($($field:ident: $Dimension:ident),* $(,)?) => {
        /// A whole application.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(super) struct Application {
            $(pub(super) $field: $Dimension),*
        }

        impl Application {
            /// Any one.
            pub(super) fn random(runner: &mut TestRunner) -> Result<Self> {
                Ok(Self {
                    $($field: choose($Dimension::ALL, runner)?),*
                })
            }

            /// Sets one dimension back to its simplest choice.
            pub(super) const SIMPLIFY: &[fn(&mut Self)] = &[
                $(|application| application.$field = $Dimension::default()),*
            ];
        }
    };
}

fn choose<T: Copy + std::fmt::Debug>(all: &'static [T], runner: &mut TestRunner) -> Result<T> {
    let tree = select(all).new_tree(runner);
    Ok(tree.map_err(|reason| anyhow!("{reason}"))?.current())
}

dimension! {
    /// The column with the user's id.
    Key {
        Id,
        /// Beside a key of the table's own.
        UserId,
        /// Beside a number, and kept without a user.
        AuthId,
        Text,
        CamelCase,
        Domain,
        WithoutReference,
        Spaces,
    }
}

dimension! {
    /// Its e-mail address.
    Email {
        Copied,
        None,
        /// Who has none gets no profile.
        Required,
        /// Follows changes.
        Followed,
    }
}

dimension! {
    Username {
        None,
        FromTheAddress,
        /// In the form; nobody has two.
        Chosen,
        /// Needed, unique, and of the application's own making.
        MadeUp,
    }
}

dimension! {
    /// More columns.
    Columns {
        None,
        Defaults,
        Generated,
        Enum,
        /// An enum that the form chooses, by a cast.
        Cast,
        Json,
        Array,
        Domain,
        Constant,
        Phone,
        Numbered,
        Sequence,
        Touched,
        Uncommon,
        Odd,
        Keywords,
        /// Named as names in Rollcall's own statements.
        Ours,
    }
}

dimension! {
    /// When the profile is made.
    Moment {
        AtInsert,
        AtCommit,
        AtConfirmation,
        WithIdentity,
        ForEachStatement,
        /// By the browser, after the login.
        ByClient,
    }
}

dimension! {
    /// For whom it is made.
    Condition { None, NotAnonymous, WithAddress }
}

dimension! {
    /// With whose rights the function runs, and where it looks for names.
    Rights { Definer, WithoutPath, PathOfItsOwn, Invoker }
}

dimension! {
    /// What the function does about failures.
    Handler { None, OnConflict, Upsert, Swallow }
}

dimension! {
    /// What keeps outsiders out.
    Gate {
        None,
        InTheFunction,
        OfItsOwn,
        AllowList,
        /// A trigger before the insert drops the row without a word.
        Silent,
    }
}

dimension! {
    /// What a signup writes beside the profile.
    Beside { Nothing, Wallet, Membership, Role, Journal, Statistics, Number }
}

dimension! {
    /// Where that is written.
    Place { InTheFunction, OfItsOwn, OnTheProfile }
}

dimension! {
    /// Who may see the profiles.
    Privacy { OwnRow, Forced, NoPolicy, Off, Revoked }
}

dimension! {
    /// What the table of profiles is called.
    Table {
        Profiles,
        Capitals,
        Members,
        ReservedWord,
        OtherSchema,
        OurView,
        Spaces,
        Percent,
        OurFunction,
        Longest,
    }
}

dimension! {
    /// What function and trigger are called.
    Code { Usual, Ours, Spaces, Longest, ReservedWords, OurTrigger, Last }
}

dimension! {
    /// Names of Rollcall's public functions and views that the application has already.
    Taken { None, Events, Functions, View }
}

application! {
    key: Key,
    email: Email,
    username: Username,
    columns: Columns,
    more_columns: Columns,
    moment: Moment,
    condition: Condition,
    rights: Rights,
    handler: Handler,
    gate: Gate,
    beside: Beside,
    place: Place,
    privacy: Privacy,
    table: Table,
    code: Code,
    taken: Taken,
}
