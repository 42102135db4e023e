"""What must hold for the transformed templates. A rule takes them as one and yields one sentence for each violation."""

from rules import alarms, api, delivery, functions, parameters, permissions, topics

RULES = (
    parameters.parameters_are_described_and_bounded,
    parameters.outputs_say_where_everything_is,
    functions.functions_run_native_arm64_code,
    functions.functions_join_a_vpc_only_when_asked,
    functions.environment_is_complete_and_holds_no_secret,
    functions.logs_are_kept_for_a_bounded_time,
    delivery.schedules_are_valid_and_retried,
    delivery.failed_invocations_are_repeated_by_what_started_them,
    permissions.every_role_holds_only_its_own_actions,
    permissions.every_role_is_for_its_user_alone,
    permissions.the_vpc_permissions_are_not_for_the_code,
    topics.topics_let_in_their_own_alarms_only,
    topics.everyone_subscribes_to_what_is_for_them,
    topics.slack_is_told_once_and_may_do_nothing,
    api.every_route_asks_for_iam,
    api.the_apis_are_throttled_and_repairs_are_logged,
    alarms.every_alarm_watches_and_tells_as_intended,
    alarms.alarms_look_at_the_time_of_two_runs,
    alarms.alerts_that_were_not_sent_are_counted,
    alarms.the_dashboard_shows_what_is_reported,
)
