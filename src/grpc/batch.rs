//! Several authorises in one call: each by itself, or all or none.

use tonic::Status;

use super::call::Call;
use super::convert;
use super::entitlement::Entitlement;
use super::entitlement_api::Entitlements;
use super::proto::v1;
use super::status::{as_fault, of_invalid};
use crate::telemetry::metrics::Method;
use crate::telemetry::names::span;

impl<E: Entitlements> Entitlement<E> {
    pub(super) async fn batch_authorize(
        &self,
        call: Call,
        message: v1::BatchAuthorizeRequest,
    ) -> Result<v1::BatchAuthorizeResponse, Status> {
        self.measured(Method::BatchAuthorize, call, async {
            let _work = self.enter()?;
            convert::batch(message.requests.len()).map_err(of_invalid)?;
            let results = if message.all_or_nothing {
                self.all_or_none(call, message.requests).await
            } else {
                let mut results = Vec::with_capacity(message.requests.len());
                for request in message.requests {
                    results.push(self.decide(call, request, span::BATCH_AUTHORIZE).await);
                }
                results
            };
            let all_allowed = results.iter().all(is_allowed);
            let results = results
                .into_iter()
                .map(|result| v1::AuthorizeResult {
                    result: Some(match result {
                        Ok(response) => v1::authorize_result::Result::Response(response),
                        Err(status) => v1::authorize_result::Result::Fault(as_fault(&status)),
                    }),
                })
                .collect();
            Ok(v1::BatchAuthorizeResponse { results, all_allowed })
        })
        .await
    }

    /// All or none: first a look at each, then the holds; where one fails after all, the others are given back.
    async fn all_or_none(
        &self,
        call: Call,
        requests: Vec<v1::AuthorizeRequest>,
    ) -> Vec<Result<v1::AuthorizeResponse, Status>> {
        let mut looks = Vec::with_capacity(requests.len());
        for request in &requests {
            let look = v1::AuthorizeRequest { validate_only: true, ..request.clone() };
            looks.push(self.decide(call, look, span::BATCH_AUTHORIZE).await);
        }
        if !looks.iter().all(is_allowed) {
            return looks;
        }
        let mut results = Vec::with_capacity(requests.len());
        for request in requests {
            let result = self.decide(call, request, span::BATCH_AUTHORIZE).await;
            let failed = !is_allowed(&result);
            results.push(result);
            if failed {
                break;
            }
        }
        if results.iter().all(is_allowed) {
            return results;
        }
        for response in results.iter_mut().flatten() {
            let handle = std::mem::take(&mut response.reservation);
            if handle.is_empty() {
                continue;
            }
            let message = v1::ReleaseRequest { reservation: handle, request_id: String::new() };
            // A hold that cannot be given back now ends by its own time.
            if let Ok(handle) = convert::release(message)
                && let Err(error) = self.api.release(handle, call.patience).await
            {
                tracing::warn!(%error, "a hold of a batch could not be given back; it ends by its time");
            }
        }
        // Those after the one that failed were only looked at.
        let looked = results.len();
        results.extend(looks.into_iter().skip(looked));
        results
    }
}

fn is_allowed(result: &Result<v1::AuthorizeResponse, Status>) -> bool {
    let denied = v1::Decision::Denied as i32;
    result.as_ref().is_ok_and(|response| response.decision != denied)
}
