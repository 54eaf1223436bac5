//! What becomes of the connections of a socket.

use crate::app::Phases;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tidegate_http::{Server, Socket};
use tidegate_listen::{Caps, Connection, ConnectionHandler, Refused, Slot};
use tokio_util::task::TaskTracker;

/// Takes the connections of a socket.
pub(super) struct Handler {
    pub(super) server: Arc<Server<Phases>>,
    pub(super) tracker: TaskTracker,
    pub(super) socket: Socket,
    /// Of the listener, which may become another one.
    pub(super) caps: Arc<ArcSwap<Caps>>,
}

impl ConnectionHandler for Handler {
    fn admit(&self) -> Result<Slot, Refused> {
        self.caps.load().take()
    }

    fn serve(&self, connection: Connection) {
        let (server, socket) = (self.server.clone(), self.socket.clone());
        self.tracker
            .spawn(async move { server.serve(socket, connection).await });
    }

    fn refused(&self, refused: Refused) {
        self.server.refused(&self.socket, refused);
    }

    fn failed(&self) {
        self.server.not_accepted(&self.socket);
    }
}
