"""Where the cases of a correct reverse proxy are tested.

Each row is a case in a few words, and the tests that hold it; the rule behind a case counts. The
tests are looked up in their files, so that no case loses its test by a new name.
"""

from __future__ import annotations

import pytest

from .support.testids import has_test

Row = tuple[str, list[str]]

REQUESTS: list[Row] = [
    (
        "methods with and without body; CONNECT and TRACE are 405",
        [
            "http/test_request_line.py::test_a_request_without_body_stays_without_one",
            "http/test_request_line.py::test_a_body_with_length_arrives_as_sent",
            "http/test_request_line.py::test_connect_and_trace_are_refused_before_the_authorizer",
        ],
    ),
    (
        "only the pair is cut out of the query; a bare ? stays",
        [
            "http/test_request_line.py::test_only_the_port_pair_is_cut_out_of_the_query",
            "property/test_locate.py::test_every_port_is_cut_and_nothing_else",
        ],
    ),
    ("path bytes", ["http/test_request_line.py::test_the_path_keeps_its_bytes"]),
    (
        "Connection names fields, but not ours",
        [
            "http/test_request_headers.py::test_fields_that_connection_names_are_not_passed",
            "http/test_request_headers.py::test_connection_cannot_remove_what_we_set",
        ],
    ),
    (
        "hop-by-hop fields and Upgrade: h2c",
        [
            "http/test_request_headers.py::test_a_hop_by_hop_field_is_not_passed",
            "http/test_request_headers.py::test_an_upgrade_to_http_2_is_an_ordinary_request",
        ],
    ),
    (
        "nothing is added; duplicates keep order and count",
        [
            "http/test_request_headers.py::test_nothing_is_added_but_what_says_where_we_are",
            "http/test_request_headers.py::test_repeated_fields_keep_their_order",
        ],
    ),
    (
        "Range, validators, Accept-Encoding; 206, 304, gzip",
        [
            "http/test_request_headers.py::test_an_end_to_end_field_passes_unchanged",
            "http/test_response_body.py::test_a_partial_answer_comes_back_unchanged",
            "http/test_response_body.py::test_a_gzip_body_stays_gzip",
        ],
    ),
    (
        "a large upload streams, memory flat",
        [
            "http/test_large.py::test_an_upload_is_never_held",
            "http/test_uploads.py::test_each_piece_arrives_while_the_visitor_is_still_sending",
        ],
    ),
    (
        "a client that stops in mid-upload",
        [
            "http/test_uploads.py::test_a_visitor_that_stops_never_leaves_a_complete_request",
            "faults/test_visitor_faults.py::test_a_request_that_was_cut_never_looks_complete",
        ],
    ),
    (
        "413 in mid-upload; an echo does not deadlock",
        [
            "http/test_early_answers.py::test_413_in_mid_upload_reaches_the_visitor",
            "http/test_early_answers.py::test_a_service_that_echoes_as_it_reads_does_not_deadlock",
        ],
    ),
    (
        "Expect: 100-continue",
        ["http/test_request_headers.py::test_expect_is_answered_here_and_not_passed_on"],
    ),
    (
        "keep-alive; a service that closes after each answer",
        [
            "http/test_connections.py::test_a_hundred_requests_at_a_time_take_a_few_connections",
            "http/test_connections.py::test_a_connection_is_kept_after",
            "http/test_connections.py::test_a_service_that_closes_after_every_answer_never_causes_an_error",
        ],
    ),
    (
        "an idle connection that was closed: GET is repeated once, POST is not replayed",
        [
            "http/test_connections.py::test_a_request_that_may_be_repeated_is_repeated_once_unseen",
            "http/test_connections.py::test_a_request_that_may_not_be_repeated_is_not_replayed",
        ],
    ),
]
ANSWERS: list[Row] = [
    (
        "two Set-Cookie; odd reasons and statuses",
        [
            "http/test_mapping.py::test_cookies_keep_their_lines_and_order",
            "http/test_response_head.py::test_a_status_passes_with_its_body",
            "http/test_response_head.py::test_a_reason_phrase_passes",
            "http/test_response_head.py::test_an_impossible_status_line_is_502",
        ],
    ),
    (
        "each event, and a head without a body, at once",
        ["http/test_response_body.py::test_head_and_each_event_arrive_before_the_next_is_sent"],
    ),
    (
        "HEAD, 204 and 304",
        ["http/test_response_body.py::test_an_answer_without_body_ends_with_its_head"],
    ),
    (
        "a body that is cut is reported as broken, on every server that can show it",
        [
            "http/test_broken_bodies.py::test_a_body_that_is_cut_looks_cut",
            "http/test_other_servers.py::test_a_body_that_is_cut_looks_cut",
            "faults/test_service_faults.py::test_a_broken_answer_is_a_502_or_looks_broken",
        ],
    ),
    (
        "bytes after the body",
        [
            "http/test_response_body.py::"
            "test_bytes_after_the_end_are_dropped_and_the_connection_with_them"
        ],
    ),
    (
        "lengths, codings and chunk sizes that are no such",
        [
            "http/test_response_framing.py::test_a_sound_length_arrives_once",
            "http/test_response_framing.py::test_an_ambiguous_framing_is_502",
            "http/test_broken_bodies.py::test_a_malformed_chunk_breaks_the_transfer",
        ],
    ),
    (
        "malformed fields; 150 fields pass, 65 KiB or 5,000 do not",
        [
            "http/test_response_head.py::test_a_malformed_field_is_502",
            "http/test_response_head.py::test_many_fields_pass",
            "http/test_response_head.py::test_a_head_that_is_too_large_is_502",
        ],
    ),
    (
        "103, unsolicited 101, 1xx without end",
        [
            "http/test_interim.py::test_103_goes_out_as_early_hints",
            "http/test_interim.py::test_1xx_without_end_is_502",
            "tunnels/test_handshake.py::test_an_unasked_101_is_502",
        ],
    ),
    (
        "Location",
        [
            "http/test_mapping.py::test_a_location_is_mapped_with_every_status",
            "unit/test_rewrite.py::test_what_means_the_service_goes_under_the_prefix",
            "property/test_mapping.py::test_what_was_mapped_once_stays",
        ],
    ),
    (
        "Set-Cookie",
        [
            "http/test_mapping.py::test_a_cookie_is_scoped_to_the_service_and_else_unchanged",
            "unit/test_cookies.py::test_all_else_of_it_stays_byte_by_byte",
        ],
    ),
    (
        "a visitor leaves, also a silent stream",
        [
            "http/test_leaving.py::test_the_service_sees_it_in_mid_stream",
            "http/test_leaving.py::test_no_descriptor_is_left_of_a_visitor_that_left",
            "http/test_wsgi.py::test_close_lets_go_of_the_service",
        ],
    ),
    (
        "refused, no head in time, garbage",
        [
            "http/test_errors.py::test_nobody_listens",
            "http/test_errors.py::test_no_head_in_time_is_504",
            "http/test_errors.py::test_another_protocol_is_502_at_once",
            "http/test_errors.py::test_a_cut_head_is_502",
        ],
    ),
    (
        "mounts, dispatchers, generators: the app's own answers are untouched",
        [
            "http/test_wsgi.py::test_two_mounts_one_inside_the_other",
            "http/test_wsgi.py::test_the_apps_own_answers_pass_untouched",
            "http/test_wsgi.py::test_the_callers_environ_is_not_changed",
        ],
    ),
    (
        "wsgiref.validate and werkzeug's lint",
        [
            "http/test_validators.py::test_validators_find_nothing_around_or_inside",
            "test_validators.py::test_no_validator_finds_fault_around_us_and_inside",
        ],
    ),
]
WEBSOCKETS: list[Row] = [
    (
        "which requests are handshakes",
        [
            "tunnels/test_handshake.py::test_an_upgrade_in_any_spelling_becomes_a_tunnel",
            "tunnels/test_handshake.py::test_what_is_no_handshake_is_refused",
        ],
    ),
    (
        "subprotocol and extensions are the service's choice",
        ["tunnels/test_handshake.py::test_the_service_chooses_subprotocol_and_extensions"],
    ),
    (
        "frames in the packets of the heads; heads byte by byte",
        [
            "tunnels/test_handshake.py::test_frames_in_the_packet_of_the_101_are_delivered",
            "tunnels/test_handshake.py::"
            "test_frames_in_the_packet_of_the_request_are_delivered_after_the_101",
            "tunnels/test_handshake.py::test_heads_byte_by_byte",
        ],
    ),
    (
        "a wrong 101; an ordinary answer",
        [
            "tunnels/test_handshake.py::test_a_101_that_does_not_accept_is_502",
            "tunnels/test_handshake.py::test_an_ordinary_answer_is_an_ordinary_response",
        ],
    ),
    (
        "16 MiB, fragments, pings, deflate, close codes",
        [
            "tunnels/test_libraries.py::test_a_message_of_16_mib",
            "tunnels/test_libraries.py::test_fragments_stay_fragments",
            "tunnels/test_libraries.py::test_pings_and_pongs_both_ways",
            "tunnels/test_libraries.py::test_the_service_closes",
        ],
    ),
    (
        "half-close, reset, slow reader, silence, either side vanishes",
        [
            "tunnels/test_relay.py::test_the_visitor_ends_and_the_service_goes_on",
            "tunnels/test_relay.py::test_the_visitor_vanishes",
            "tunnels/test_relay.py::test_the_service_vanishes",
            "tunnels/test_relay.py::test_a_slow_reader_stops_the_sender_and_costs_no_memory",
            "tunnels/test_relay.py::test_silence_is_cut_and_a_word_in_either_direction_is_none",
        ],
    ),
    ("requests beside tunnels", ["tunnels/test_matrix.py::test_tunnels_beside_requests"]),
]
ROWS = [*REQUESTS, *ANSWERS, *WEBSOCKETS]


@pytest.mark.parametrize("tests", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_case_has_its_tests(tests: list[str]) -> None:
    assert tests
    assert [one for one in tests if not has_test(one)] == []
