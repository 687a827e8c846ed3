//! The server as clients meet it: real TLS connections to 127.0.0.1, a library made for the purpose.

mod access;
mod catalogue;
mod changes;
mod client;
mod connections;
mod curl;
mod fake;
mod files;
mod harness;
mod logs;
mod tls;
