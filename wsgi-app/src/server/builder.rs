//! The builder of a server, the same for every adapter.

/// Defines an adapter's `Server`: what is served, where, the options, and what connections run on. A `Listener` and an
/// `IntoListener` have to be in scope. The adapter adds `serve`, which begins with the private method `settle`: listeners,
/// application, options, handle and pool.
///
/// ```
/// use wsgi_app::{Application, Report};
///
/// #[derive(Debug)]
/// pub struct Listener;
///
/// /// What a server accepts on; the message for what is not names it in the words of the runtime.
/// #[diagnostic::on_unimplemented(message = "`{Self}` is not a listener")]
/// pub trait IntoListener: Into<Listener> {}
/// impl IntoListener for Listener {}
///
/// wsgi_app::server_builder! {
///     /// How many threads the connections run on. Default: 2.
///     pool: usize
/// }
///
/// impl<A> Server<A> {
///     // The bound is here alone, so that the compiler reports it once.
///     pub fn serve(self) -> std::io::Result<Report>
///     where
///         A: Application,
///     {
///         let (listeners, application, options, handle, threads) = self.settle();
///         let server = wsgi_app::Server::new(options, &handle, application)?;
///         // Accept on the listeners, on `threads.unwrap_or(2)` threads.
///         Ok(server.report())
///     }
/// }
/// ```
#[macro_export]
macro_rules! server_builder {
    ($(#[$about_pool:meta])* pool: $pool:ty) => {
        /// A server that is being set up: options first, then [`serve`](Self::serve).
        #[derive(Debug)]
        #[must_use = "nothing is served before `serve` is called"]
        pub struct Server<A> {
            listeners: Vec<Listener>,
            application: A,
            options: $crate::Options,
            handle: $crate::ServerHandle,
            pool: Option<$pool>,
            ignores_max_size: bool,
        }

        impl<A> Server<A> {
            /// A server of `application` on a bound and listening `listener`.
            pub fn new(listener: impl IntoListener, application: A) -> Self {
                Self {
                    listeners: vec![listener.into()],
                    application,
                    options: $crate::Options::default(),
                    handle: $crate::ServerHandle::new(),
                    pool: None,
                    ignores_max_size: false,
                }
            }

            /// Accepts on one more listener.
            pub fn listener(mut self, listener: impl IntoListener) -> Self {
                self.listeners.push(listener.into());
                self
            }

            $(#[$about_pool])*
            pub fn pool(mut self, pool: $pool) -> Self {
                (self.pool, self.ignores_max_size) = (Some(pool), false);
                self
            }

            /// As [`pool`](Self::pool), and `max_size` is ignored, as the manual says: the pool alone bounds what runs.
            pub fn custom_pool(mut self, pool: $pool) -> Self {
                (self.pool, self.ignores_max_size) = (Some(pool), true);
                self
            }

            /// Replaces all options, but not what was said about listeners and the pool.
            pub fn options(mut self, options: $crate::Options) -> Self {
                self.options = options;
                self
            }

            /// Stops and watches the server from any thread; may be taken before it runs.
            pub fn handle(&self) -> $crate::ServerHandle {
                self.handle.clone()
            }

            /// What `serve` begins with.
            fn settle(mut self) -> (Vec<Listener>, A, $crate::Options, $crate::ServerHandle, Option<$pool>) {
                // A value that is not allowed is told, also where it would not count.
                if self.ignores_max_size && self.options.max_size_is_allowed() {
                    self.options = self.options.max_size(usize::MAX);
                }
                (self.listeners, self.application, self.options, self.handle, self.pool)
            }

            $crate::option_methods!();

            fn options_mut(&mut self) -> &mut $crate::Options {
                &mut self.options
            }
        }
    };
}
