/** What Relay's compiler is given: a list that pages both ways, a payload, and two streams. */
import { graphql } from "relay-runtime";

export const row = graphql`
  fragment desk_row on Reservation {
    reservationId
    status
    checkIn
    checkOut
    total {
      amount
      currencyCode
    }
    guest {
      id
      firstName
      lastName
    }
  }
`;

export const list = graphql`
  fragment desk_list on Query
  @refetchable(queryName: "deskPaginationQuery")
  @argumentDefinitions(
    first: { type: "Int", defaultValue: 20 }
    last: { type: "Int" }
    after: { type: "String" }
    before: { type: "String" }
    filter: { type: "ReservationFilter" }
  ) {
    reservations(first: $first, last: $last, after: $after, before: $before, filter: $filter)
      @connection(key: "desk_reservations", filters: ["filter"]) {
      totalCount
      streamCursor
      edges {
        cursor
        node {
          id
          ...desk_row
        }
      }
    }
  }
`;

export const page = graphql`
  query deskQuery($filter: ReservationFilter) {
    ...desk_list @arguments(filter: $filter)
    broadcasts(first: 5) {
      edges {
        node {
          ...desk_broadcast
          messages(first: 10, statuses: [FAILED]) {
            edges {
              node {
                guest {
                  firstName
                }
                lastError
              }
            }
          }
        }
      }
    }
  }
`;

export const broadcast = graphql`
  fragment desk_broadcast on Broadcast {
    status
    counts {
      total
      pending
      sent
      failed
    }
  }
`;

export const start = graphql`
  mutation deskBroadcastMutation($input: BroadcastInput!, $connections: [ID!]!) {
    broadcast(input: $input) {
      recipientCount
      broadcast @prependNode(connections: $connections, edgeTypeName: "BroadcastEdge") {
        ...desk_broadcast
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`;

export const changes = graphql`
  subscription deskChangesSubscription($filter: ReservationFilter, $after: String) {
    reservationChanged(filter: $filter, after: $after) {
      cursor
      transition
      reservation {
        ...desk_row
      }
    }
  }
`;

export const progress = graphql`
  subscription deskProgressSubscription($id: ID!) {
    broadcastProgress(broadcastId: $id) {
      cursor
      broadcast {
        ...desk_broadcast
      }
    }
  }
`;
