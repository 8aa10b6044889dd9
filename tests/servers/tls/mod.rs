//! TLS on every adapter: the same application, the same clients, the same answers.
#![cfg(unix)]

mod alpn;
mod application;
mod bodies;
mod ends;
mod facts;
mod handshakes;
mod records;
mod site;
mod stops;
mod taken;
mod wire;

/// Makes a test of each function for each runtime, passed as a `Runtime`.
macro_rules! on_every_runtime {
    ($($name:ident)*) => {
        $(mod $name {
            use crate::tls::site::Runtime;

            #[test]
            fn on_tokio() {
                super::$name(Runtime::Tokio);
            }

            #[test]
            fn on_smol() {
                super::$name(Runtime::Smol);
            }

            #[test]
            fn on_async_std() {
                super::$name(Runtime::AsyncStd);
            }

            #[test]
            fn on_std() {
                super::$name(Runtime::Std);
            }

            #[test]
            fn blocking_on_tokio() {
                super::$name(Runtime::BlockingOnTokio);
            }

            #[test]
            fn blocking_on_smol() {
                super::$name(Runtime::BlockingOnSmol);
            }

            #[test]
            fn blocking_on_async_std() {
                super::$name(Runtime::BlockingOnAsyncStd);
            }
        })*
    };
}

pub(crate) use on_every_runtime;
