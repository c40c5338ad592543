//! The legacy protocol `graphql-ws`, spoken by the handler of async-graphql, behind the same bounds on
//! documents and the same roles. That one takes values where we share bytes, so each of its subscriptions
//! is executed by itself.

use std::{net::IpAddr, sync::Arc};

use async_graphql::{Data, Executor, Request, Response as GraphqlResponse};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::extract::ws::{Message, WebSocket};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _, future, stream::BoxStream};
use tokio::sync::watch;

use super::{identity, message::Close};
use crate::{
    access::{Caller, Denied},
    graphql::{
        document::Operation,
        errors::{self, Code},
        once::once,
    },
    http::{HttpState, sockets::FAREWELL},
};

/// Until the client leaves, its token ends, or the server stops. `upgraded` is who asked for the socket, if
/// that is known.
pub(super) async fn serve(
    state: &HttpState,
    socket: WebSocket,
    protocol: GraphQLProtocol,
    upgraded: Option<Caller>,
    peer: Option<IpAddr>,
) {
    let (mut sink, mut stream) = socket.split();
    let (known, mut caller) = watch::channel(None);
    let executor = Bounded { state: state.clone(), caller: caller.clone() };
    let access = state.access.clone();
    let serve = GraphQLWebSocket::new_with_pair(&mut sink, &mut stream, executor, protocol)
        .on_connection_init(async move |payload: serde_json::Value| {
            let caller = match (identity::token(payload.as_object()), upgraded) {
                (None, Some(caller)) => caller,
                (token, _) => access.check(token.as_deref(), peer).await?,
            };
            known.send_replace(Some(caller));
            Ok(Data::default())
        })
        .serve();
    let ended = async {
        let caller = caller.wait_for(Option::is_some).await.ok().and_then(|caller| caller.clone());
        match caller {
            Some(caller) => caller.ended().await,
            None => future::pending().await,
        }
    };
    let close = tokio::select! {
        () = serve => return,
        () = state.stopping.cancelled() => Close::Restart,
        () = ended => Close::Forbidden("the token is good no longer".to_owned()),
    };
    let farewell = async {
        if sink.send(Message::Close(Some(close.frame()))).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// The schema, behind what every request comes through.
#[derive(Clone)]
struct Bounded {
    state: HttpState,
    caller: watch::Receiver<Option<Caller>>,
}

impl Bounded {
    fn admit(&self, request: &mut Request) -> Result<Operation, async_graphql::ServerError> {
        let caller = self.caller.borrow().clone();
        let caller = caller.ok_or_else(|| Code::Unauthenticated.error(Denied::Missing.to_string()))?;
        let admission = self.state.live.admission();
        admission.count(&caller)?;
        admission.admit(request, &caller)
    }
}

impl Executor for Bounded {
    async fn execute(&self, mut request: Request) -> GraphqlResponse {
        match self.admit(&mut request) {
            Ok(operation) => once(&self.state.schema, request, &operation).await,
            Err(error) => GraphqlResponse::from_errors(vec![error]),
        }
    }

    fn execute_stream(
        &self,
        mut request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, GraphqlResponse> {
        match self.admit(&mut request) {
            Ok(Operation::Subscription(_)) => {
                let responses = Executor::execute_stream(&self.state.schema, request, session_data);
                let finish = |mut response| {
                    errors::finish(&mut response);
                    response
                };
                responses.map(finish).boxed()
            }
            Ok(operation) => {
                let schema = self.state.schema.clone();
                async move { once(&schema, request, &operation).await }.into_stream().boxed()
            }
            Err(error) => future::ready(GraphqlResponse::from_errors(vec![error])).into_stream().boxed(),
        }
    }
}
