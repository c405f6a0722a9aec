//! One suite, run on every runtime: the client over real sockets against the emulator.

mod adapter;
mod bench;
mod cancellation;
mod closing;
mod embassy;
mod operations;
mod proxy;
mod recovery;
mod sick_peers;

/// The suite on each of the adapters.
macro_rules! suite {
    ($adapters:tt: $($module:ident { $($test:ident)* })*) => {
        $( $( suite!(@ $module $test $adapters); )* )*
    };
    (@ $module:ident $test:ident { $($adapter:ident)* }) => {
        #[allow(non_snake_case)]
        mod $test {
            $(
                #[test]
                fn $adapter() {
                    crate::$module::$test::<crate::adapter::$adapter>();
                }
            )*
        }
    };
}

suite! {
    { TokioThreads TokioCurrentThread TokioWebSockets Smol SmolWebSockets AsyncStd AnyExecutor EmbassyFixed }:
    operations {
        a_message_goes_round
        a_message_is_settled_once
        bodies_of_every_kind
        locks_are_renewed_and_settled_by_token
        many_calls_at_once
        messages_are_peeked_and_deleted
        messages_are_scheduled_and_cancelled
        messages_as_a_stream
        messages_settle_in_every_way
        messages_travel_together
        prefetched_messages_are_kept_ready
        receive_modes_of_an_entity
        received_and_deleted
        refusals_say_why
        rules_choose_messages
        sessions
        sessions_change_hands
        sessions_are_opened_and_closed_by_a_processor
        transactions
    }
    recovery {
        a_busy_service_is_asked_again
        a_cut_loses_nothing_under_load
        a_lost_session_says_so
        a_receive_goes_on_over_a_cut
        a_send_goes_on_over_a_cut
        a_service_that_is_away_fails_calls_and_comes_back
        a_service_that_moves_an_entity_or_closes
        a_silent_service_is_noticed
        settling_survives_a_cut
        tokens_come_from_a_credential
    }
    closing {
        a_closed_client_fails_what_is_pending
        a_closed_receiver_gives_back_what_it_had
        a_closed_sender_has_sent
        a_dropped_client_closes
        closing_does_not_wait_for_a_service_that_is_away
        what_is_dropped_is_closed
    }
    cancellation {
        of_accept_next_session
        of_accept_session
        of_closing_a_client
        of_closing_a_receiver
        of_complete
        of_receive
        of_receive_deferred
        of_requests
        of_send
        of_send_batch
        of_send_while_the_service_is_busy
        of_stream
        of_transactions
    }
}

// Not on EmbassyFixed: a large message is larger than a board's storage, and so are those that go over TLS here; the
// TLS of boards has tests of its own (runtime-embassy/tests/tls.rs).
suite! {
    { TokioThreads TokioCurrentThread Smol AsyncStd AnyExecutor }:
    operations {
        a_large_message
        over_tls
    }
}

// The sick peers speak AMQP over TCP.
suite! {
    { TokioThreads TokioCurrentThread Smol AsyncStd AnyExecutor EmbassyFixed }:
    sick_peers {
        a_credential_that_hangs_is_asked_again_c4
        a_drain_that_is_not_answered_holds_up_no_receive_h5
        a_flood_holds_up_no_call_h1
        a_peer_that_stops_reading_holds_up_no_call_c1
        an_opening_that_is_not_finished_ends_in_time_h3
        closing_does_not_wait_for_an_accept_c16
    }
}

// tokio's driver is a task of its runtime: that goes in tests/sockets/client_faults/dropped_runtime.rs.
suite! {
    { Smol AsyncStd AnyExecutor EmbassyFixed }:
    sick_peers {
        calls_end_when_their_driver_is_dropped_c5
    }
}
