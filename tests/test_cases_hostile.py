"""Where the cases of hostile services and hostile clients are tested.

Each row is a case in a few words, and the tests that hold it; the rule behind a case counts. The
tests are looked up in their files, so that no case loses its test by a new name.
"""

from __future__ import annotations

import pytest

from .support.testids import has_test

Row = tuple[str, list[str]]

HOSTILE: list[Row] = [
    (
        "what is no port",
        [
            "hostile/test_ports_and_targets.py::test_what_is_no_port_is_400_and_nobody_is_asked",
            "hostile/test_ports_and_targets.py::test_a_port_of_many_digits_costs_linear_time",
        ],
    ),
    (
        "two ports; keys that are the app's own",
        [
            "hostile/test_ports_and_targets.py::test_two_ports_are_400_and_nobody_is_asked",
            "hostile/test_ports_and_targets.py::test_other_keys_are_the_apps_own",
            "hostile/test_ports_and_targets.py::test_a_port_in_the_body_is_the_apps_own",
        ],
    ),
    (
        "ports out of range, our own, loops",
        [
            "hostile/test_ports_and_targets.py::"
            "test_a_port_outside_the_range_is_403_and_nobody_is_asked",
            "hostile/test_ports_and_targets.py::test_our_own_port_is_refused",
            "hostile/test_ports_and_targets.py::"
            "test_a_request_that_comes_round_through_a_service_is_refused",
        ],
    ),
    (
        "one request, no open redirect, odd targets",
        [
            "hostile/test_ports_and_targets.py::test_one_request_arrives_byte_for_byte_or_none",
            "hostile/test_ports_and_targets.py::test_no_redirect_of_ours_leads_to_another_site",
            "hostile/test_ports_and_targets.py::"
            "test_a_target_in_another_form_arrives_in_origin_form_or_not_at_all",
        ],
    ),
    ("climbing paths", ["hostile/test_mounts.py::test_bob_gets_nowhere_as_bob"]),
    (
        "an authorizer that raises or returns odd things; called once",
        [
            "hostile/test_authorization.py::test_without_a_plain_yes_a_service_hears_nothing",
            "hostile/test_authorization.py::test_the_right_user_is_asked_for_once_a_request",
        ],
    ),
    (
        "refused: zero bytes; WebSocket 403",
        ["hostile/test_authorization.py::test_without_a_plain_yes_a_websocket_is_refused"],
    ),
    (
        "foreign origins",
        [
            "hostile/test_authorization.py::"
            "test_a_foreign_page_can_neither_write_nor_open_a_websocket",
            "hostile/test_authorization.py::test_programs_send_neither_and_pass",
        ],
    ),
    (
        "withheld cookies",
        [
            "hostile/test_to_service.py::"
            "test_the_apps_cookies_never_arrive_and_the_others_byte_for_byte",
            "unit/test_cookies.py::test_64_kib_of_cookies_cost_linear_time",
            "property/test_cookies.py::test_no_byte_of_a_withheld_cookie_reaches_a_service",
        ],
    ),
    (
        "identity fields",
        ["hostile/test_to_service.py::test_a_visitors_claim_is_dropped_under_every_alias"],
    ),
    (
        "proxy settings of the machine",
        ["hostile/test_to_service.py::test_proxies_and_passwords_of_the_machine_have_no_effect"],
    ),
    (
        "instructions to others, on a 101 too",
        [
            "hostile/test_to_visitor.py::test_an_instruction_to_others_is_dropped",
            "tunnels/test_handshake.py::test_a_101_carries_nothing_that_speaks_to_the_whole_origin",
        ],
    ),
    (
        "service workers",
        [
            "hostile/test_to_visitor.py::test_a_service_worker_is_not_allowed_more_than_the_prefix",
            "hostile/test_authorization.py::test_a_service_worker_is_for_the_path_form_only",
        ],
    ),
    ("shared caches", ["hostile/test_to_visitor.py::test_no_shared_cache_may_keep_an_answer"]),
    (
        "cookies that a service may not set",
        [
            "hostile/test_to_visitor.py::test_a_service_can_set_no_cookie_of_the_app",
            "hostile/test_to_visitor.py::test_300_cookies_do_not_push_out_the_apps",
        ],
    ),
    (
        "markup, insides, the log",
        [
            "hostile/test_to_visitor.py::test_no_value_of_a_request_becomes_markup",
            "hostile/test_to_visitor.py::test_our_own_pages_tell_nothing_of_our_insides",
            "hostile/test_to_visitor.py::test_the_log_holds_neither_cookies_nor_queries",
        ],
    ),
    (
        "a port that hangs does not stop the others",
        [
            "hostile/test_hanging.py::"
            "test_a_service_that_hangs_does_not_keep_the_app_from_its_own_pages",
            "hostile/test_caps.py::test_50_requests_that_hang_leave_the_others_their_latency",
        ],
    ),
    (
        "no answer, a slow head, an endless head",
        [
            "hostile/test_hanging.py::test_no_head_in_time_is_504_and_the_thread_is_back",
            "hostile/test_floods.py::test_an_endless_head_is_502",
        ],
    ),
    (
        "an endless body to a slow reader; a gzip bomb",
        [
            "hostile/test_floods.py::test_an_endless_body_waits_for_a_visitor_that_reads_slowly",
            "hostile/test_floods.py::test_a_gzip_bomb_passes_as_it_is",
        ],
    ),
    (
        "a full listen queue; errors of the system at any step",
        [
            "hostile/test_hanging.py::test_a_full_listen_queue_is_504_at_the_connect_timeout",
            "hostile/test_breaking_off.py::test_without_a_free_descriptor_it_is_503_until_there_is_one",
            "faults/test_socket_errors.py::"
            "test_an_error_of_the_system_is_a_status_or_a_broken_transfer_and_over_with_the_request",
        ],
    ),
    (
        "a worker that ends with tunnels and streams",
        [
            "tunnels/test_streams_life.py::test_sigterm_ends_streams_within_two_seconds",
            "tunnels/test_worker_life.py::test_the_host_stops_with_tunnels_in_every_state",
        ],
    ),
    (
        "thousands that are aborted leave nothing",
        [
            "hostile/test_breaking_off.py::test_a_thousand_aborted_requests_leave_nothing",
            "tunnels/test_soak_short.py::test_five_hundred_that_are_aborted_leave_nothing",
            "tunnels/test_soak_short.py::test_mixed_load_with_faults_leaves_nothing",
        ],
    ),
]
ROWS = HOSTILE


@pytest.mark.parametrize("tests", [row[1] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_case_has_its_tests(tests: list[str]) -> None:
    assert tests
    assert [one for one in tests if not has_test(one)] == []
