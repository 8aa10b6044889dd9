//! Two accept loops share the places of one server.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, pending};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wsgi_app::adapter::{Adapter, BoundAddr, ConnectionGuard, Server};
use wsgi_app::{Address, Application, Body, Endpoints, Options, Result, ServerHandle, application_fn};

/// What happens between the look for room and the entry of a connection.
type Meanwhile = Box<dyn FnOnce()>;

/// A loop whose connections have all arrived, as a number for each.
struct Loop<A> {
    server: Arc<Server<A>>,
    entered: Rc<RefCell<Vec<(u32, ConnectionGuard)>>>,
    meanwhile: RefCell<Option<Meanwhile>>,
}

impl<A: Application> Adapter for Loop<A> {
    type Listener = VecDeque<u32>;
    type Accepted = u32;

    fn bound_addr(&self, _: &Self::Listener) -> BoundAddr {
        BoundAddr::local(None)
    }

    fn poll_accept(&self, listener: &mut Self::Listener, _: &mut Context<'_>) -> Poll<io::Result<u32>> {
        listener.pop_front().map_or(Poll::Pending, |number| Poll::Ready(Ok(number)))
    }

    fn start(&self, number: u32) {
        self.meanwhile.take().into_iter().for_each(|meanwhile| meanwhile());
        let guard = self.server.admit(Endpoints::new(Address::Local, Address::Local));
        self.entered.borrow_mut().push((number, guard));
    }

    fn sleep(&self, _: Duration) -> impl Future {
        pending::<()>()
    }
}

fn poll(serving: &mut Pin<&mut impl Future>) -> bool {
    serving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn two_accept_loops_do_not_exceed_max_size_together() {
    let handle = ServerHandle::new();
    let application = application_fn(|_: wsgi_app::Environ, start: wsgi_app::StartResponse| async move {
        start.start("200 OK", wsgi_app::NO_HEADERS)?;
        Result::<Body>::Ok(Body::empty())
    });
    let options = Options::default().log_output(false).max_size(3);
    let server = Server::new(options, &handle, application).expect("the options are allowed");
    let entered = Rc::default();
    let make =
        || Loop { server: Arc::clone(&server), entered: Rc::clone(&entered), meanwhile: RefCell::default() };
    let (main, beside) = (make(), Rc::new(make()));
    let guard = server.accepts_beside();
    let second = {
        let (server, handle, beside) = (Arc::clone(&server), handle.clone(), Rc::clone(&beside));
        async move { server.accept_beside(guard, &handle, vec![VecDeque::from([11, 12, 13])], &*beside).await }
    };
    let second = Rc::new(RefCell::new(Box::pin(second)));
    // The first loop has found room for its connection, which has not entered yet.
    main.meanwhile.replace(Some(Box::new({
        let second = Rc::clone(&second);
        move || assert!(!poll(&mut second.borrow_mut().as_mut()))
    })));
    let mut first = pin!(server.run(&handle, vec![VecDeque::from([1, 2])], &main));
    assert!(!poll(&mut first));
    let numbers = || entered.borrow().iter().map(|(number, _)| *number).collect::<Vec<_>>();
    assert_eq!((handle.connections(), numbers()), (3, vec![11, 12, 1]));
    // Each connection that ends makes one place, which one of them takes.
    for expected in [[12, 1, 13], [1, 13, 2]] {
        entered.borrow_mut().remove(0);
        assert!(!poll(&mut second.borrow_mut().as_mut()));
        assert!(!poll(&mut first));
        assert_eq!((handle.connections(), numbers()), (3, expected.to_vec()));
    }
    entered.borrow_mut().clear();
    handle.shutdown();
    assert!(poll(&mut second.borrow_mut().as_mut()));
    assert!(poll(&mut first));
}
