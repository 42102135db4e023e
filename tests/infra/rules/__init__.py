"""What must hold for the transformed template. A rule takes it and yields one sentence for each violation."""

from rules import alarms, api, delivery, functions, parameters, permissions, topics

RULES = (
    parameters.parameters_are_described_and_bounded,
    parameters.outputs_say_where_everything_is,
    functions.functions_run_native_arm64_code,
    functions.functions_have_reserved_concurrency,
    functions.functions_join_a_vpc_only_when_asked,
    functions.environment_is_complete_and_holds_no_secret,
    functions.logs_are_kept_for_a_bounded_time,
    delivery.schedules_are_valid_and_retried,
    delivery.failed_invocations_are_kept,
    permissions.every_role_holds_only_its_own_actions,
    permissions.every_function_and_schedule_has_its_own_role,
    permissions.no_statement_is_wider_than_it_must_be,
    permissions.the_vpc_permissions_are_not_for_the_code,
    topics.topics_are_encrypted_with_a_key_that_alarms_may_use,
    topics.topic_policies_let_in_only_their_publishers,
    topics.email_is_subscribed_only_when_given,
    topics.the_pager_gets_alarms_and_people_get_words,
    topics.slack_is_told_and_may_do_nothing,
    api.every_route_asks_for_iam,
    api.the_api_is_throttled_and_logged,
    alarms.every_alarm_can_be_told_apart,
    alarms.alarms_watch_the_checks,
    alarms.missing_runs_raise_an_alarm,
    alarms.alerts_that_were_not_sent_raise_an_alarm,
    alarms.verdicts_and_repairs_have_alarms,
    alarms.executions_that_end_from_outside_raise_an_alarm,
    alarms.the_dashboard_shows_what_is_reported,
)
