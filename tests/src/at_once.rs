//! Work that is mostly waiting, done all at the same time.

use anyhow::Result;
use tokio::task::{JoinSet, LocalSet};

/// Does all of `works` on this thread, each while the others wait, and gives what came of them as they ended. The first
/// error is the result.
pub async fn at_once<T: 'static, W>(works: impl IntoIterator<Item = W>) -> Result<Vec<T>>
where
    W: Future<Output = Result<T>> + 'static,
{
    let all = async {
        let mut begun = JoinSet::new();
        for work in works {
            begun.spawn_local(work);
        }
        let mut results = Vec::new();
        while let Some(ended) = begun.join_next().await {
            results.push(ended??);
        }
        Ok(results)
    };
    LocalSet::new().run_until(all).await
}
