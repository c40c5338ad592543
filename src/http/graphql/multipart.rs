//! Apollo's multipart subscriptions.
//!
//! <https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>: each
//! part is `{"payload": ...}`, or `{}` as a sign of life; `errors` beside the payload are of the transport.
//! A client takes a part as whole when it sees the boundary after it, so that boundary goes with the part.

use super::stream::Framing;
use crate::http::sockets::Transport;

/// Writes parts.
pub(super) enum Parts {}

impl Framing for Parts {
    const TRANSPORT: Transport = Transport::Multipart;
    const CONTENT_TYPE: &'static str = "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0";
    const ALIVE: &'static str = "\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql";
    const COMPLETE: &'static str = "--\r\n";
    const STOPPING: &'static str = concat!(
        "\r\ncontent-type: application/json\r\n\r\n",
        r#"{"payload":null,"errors":[{"message":"the server restarts; go on from your newest cursor","#,
        r#""extensions":{"code":"SERVER_STOPPING"}}]}"#,
        "\r\n--graphql--\r\n"
    );
    const UNAUTHENTICATED: &'static str = concat!(
        "\r\ncontent-type: application/json\r\n\r\n",
        r#"{"payload":null,"errors":[{"message":"the token is good no longer; go on with a new one","#,
        r#""extensions":{"code":"UNAUTHENTICATED"}}]}"#,
        "\r\n--graphql--\r\n"
    );

    fn begin(_: Option<&str>) -> String {
        "--graphql".to_owned()
    }

    fn next(_: Option<&str>, body: &str) -> String {
        format!("\r\ncontent-type: application/json\r\n\r\n{{\"payload\":{body}}}\r\n--graphql")
    }
}
