//! Links into the AWS console.

/// The page of a log group: `AWS_REGION` and `AWS_LAMBDA_LOG_GROUP_NAME`, as `variable` finds them; none where one is
/// missing.
pub(crate) fn log_group_url(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let region = variable("AWS_REGION").filter(|region| is_plain(region))?;
    let group = variable("AWS_LAMBDA_LOG_GROUP_NAME").filter(|group| !group.is_empty())?;
    // regions of a partition begin alike
    let host = match region.split('-').next() {
        Some("cn") => format!("{region}.console.amazonaws.cn"),
        Some("us") if region.starts_with("us-gov-") => {
            format!("{region}.console.amazonaws-us-gov.com")
        }
        Some("eusc") => format!("{region}.console.amazonaws-eusc.eu"),
        _ => format!("{region}.console.aws.amazon.com"),
    };
    // the console wants what follows the # encoded twice, with $ for the outer %
    let group: String = group
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => c.to_string(),
            c => c
                .to_string()
                .bytes()
                .map(|byte| format!("$25{byte:02X}"))
                .collect(),
        })
        .collect();
    Some(format!(
        "https://{host}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}"
    ))
}

fn is_plain(region: &str) -> bool {
    !region.is_empty()
        && region
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(region: &str, group: &str) -> Option<String> {
        log_group_url(|name| Some(if name == "AWS_REGION" { region } else { group }.to_owned()))
    }

    #[test]
    fn each_partition_has_a_console_of_its_own() {
        for (region, host) in [
            ("eu-west-1", "eu-west-1.console.aws.amazon.com"),
            ("us-east-1", "us-east-1.console.aws.amazon.com"),
            (
                "us-gov-west-1",
                "us-gov-west-1.console.amazonaws-us-gov.com",
            ),
            ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
            ("eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
        ] {
            assert_eq!(
                url(region, "/aws/lambda/rollcall-recent-issues"),
                Some(format!(
                    "https://{host}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/$252Faws$252Flambda$252Frollcall-recent-issues"
                ))
            );
        }
    }

    #[test]
    fn without_region_or_group_there_is_no_link() {
        for (region, group) in [("", "g"), ("eu-west-1", ""), ("eu/west?", "g")] {
            assert_eq!(url(region, group), None);
        }
    }
}
