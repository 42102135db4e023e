//! What is between a program and its database: TLS, a pooler, a network that breaks, a server that goes away.

mod broken_connections;
mod outages;
mod pooler;
mod round_trips;
mod tls;
