//! Work that is mostly waiting, done all at the same time.

use anyhow::Result;
use tokio::task::{JoinSet, LocalSet};

/// Does all of `works` on this thread, each while the others wait. The first error is the result.
pub async fn at_once<W>(works: impl IntoIterator<Item = W>) -> Result<()>
where
    W: Future<Output = Result<()>> + 'static,
{
    let all = async {
        let mut begun = JoinSet::new();
        for work in works {
            begun.spawn_local(work);
        }
        while let Some(ended) = begun.join_next().await {
            ended??;
        }
        Ok(())
    };
    LocalSet::new().run_until(all).await
}
