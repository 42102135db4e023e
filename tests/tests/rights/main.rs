//! Who may do what and see what: the roles, the public functions, and what no output holds.

mod hostile_reader;
mod personal_data;
mod privileges;
mod public_api;
mod roles;
mod values_in_errors;
