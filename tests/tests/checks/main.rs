//! What is looked at: the reports, the probe, and whose signups they count. What could not be looked at is unknown.

mod audit_payloads;
mod blindness;
mod look;
mod next_signup;
mod no_false_alarm;
mod probe;
mod recent_window;
mod signup_flows;
mod standby;
