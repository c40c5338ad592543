//! One watcher of one operation, wherever its answers come from at the moment.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_graphql::{Request, ServerError};
use futures::{FutureExt as _, Stream, future::BoxFuture};

use super::{
    Answer, Inner, Outlet, Recipe,
    counts::{Counted, What},
    execution::Execution,
    group::{End, Found, Group, Member},
};
use crate::graphql::{document::Operation, told::Begin};

/// A new group begins where its first watcher is, if that is no further back than this.
const NEAR: i64 = 256;

/// A stream of answers. It ends after the last of them; dropped, it leaves its group.
pub struct Watch {
    inner: Arc<Inner>,
    phase: Phase,
    outlet: Option<Arc<dyn Outlet>>,
    _counted: Counted,
}

enum Phase {
    /// Its cursor is being looked up.
    Starting(BoxFuture<'static, Phase>),
    /// It takes from a group.
    Shared(Member),
    /// It reads the log by itself up to a position, and then joins a group.
    CatchingUp {
        execution: Execution,
        recipe: Arc<Recipe>,
        until: i64,
    },
    /// It does not share.
    Alone(Execution),
    Refused(Arc<[ServerError]>),
    Ended,
}

impl Watch {
    fn new(inner: &Arc<Inner>, phase: Phase) -> Self {
        let counted = Counted::new(&inner.counts, What::Watcher);
        Self { inner: Arc::clone(inner), phase, outlet: None, _counted: counted }
    }

    pub(super) fn refused(inner: &Arc<Inner>, error: ServerError) -> Self {
        Self::new(inner, Phase::Refused([error].into()))
    }

    /// What has one answer.
    pub(super) fn once(inner: &Arc<Inner>, request: Request, operation: Operation) -> Self {
        Self::new(inner, Phase::Alone(Execution::once(inner, request, operation)))
    }

    /// With an execution of its own.
    pub(super) fn alone(inner: &Arc<Inner>, request: Request, cursor: Option<String>) -> Self {
        let begin = cursor.map_or(Begin::Argument, Begin::Cursor);
        Self::new(inner, Phase::Alone(Execution::new(inner, request, begin)))
    }

    /// From a position that is known to be good.
    pub(super) fn shared(inner: &Arc<Inner>, recipe: Arc<Recipe>, seq: i64) -> Self {
        Self::new(inner, enter(inner, recipe, seq))
    }

    /// From a cursor. One that is no good is left to the execution, which says why.
    pub(super) fn resumed(inner: &Arc<Inner>, recipe: Recipe, cursor: String) -> Self {
        let state = Arc::clone(inner);
        let starting = async move {
            if let Some(seq) = state.resume(&cursor).await {
                return enter(&state, Arc::new(recipe), seq);
            }
            let begin = Begin::Cursor(cursor);
            Phase::Alone(Execution::new(&state, recipe.request(), begin))
        };
        Self::new(inner, Phase::Starting(starting.boxed()))
    }

    /// The position it begins at, before anything was taken, when no cursor said where.
    #[must_use]
    pub fn begins_now(&self) -> Option<i64> {
        match &self.phase {
            Phase::Shared(member) => Some(member.seq()),
            _ => None,
        }
    }

    /// Events may go there instead of coming out here, whenever there is none to come out.
    #[must_use]
    pub fn through(self, outlet: Arc<dyn Outlet>) -> Self {
        Self { outlet: Some(outlet), ..self }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        loop {
            let (next, answer) = match &mut self.phase {
                Phase::Starting(starting) => (ready!(starting.poll_unpin(cx)), None),
                Phase::Shared(member) => match ready!(member.poll(cx, self.outlet.as_ref())) {
                    Found::Event(seq, body) => {
                        return Poll::Ready(Some(Answer::Next { seq: Some(seq), body }));
                    }
                    Found::Behind(until) => {
                        let recipe = Arc::clone(member.recipe());
                        (catch_up(&self.inner, recipe, member.seq(), until), None)
                    }
                    Found::Ended(End::Complete) => (Phase::Ended, None),
                    Found::Ended(End::Refused(errors)) => (Phase::Ended, Some(Answer::Refused(errors))),
                },
                Phase::CatchingUp { execution, recipe, until } => match ready!(execution.poll_next(cx)) {
                    None => (enter(&self.inner, Arc::clone(recipe), *until), None),
                    Some(Answer::Refused(errors)) => (Phase::Ended, Some(Answer::Refused(errors))),
                    next => return Poll::Ready(next),
                },
                Phase::Alone(execution) => match ready!(execution.poll_next(cx)) {
                    None => (Phase::Ended, None),
                    Some(Answer::Refused(errors)) => (Phase::Ended, Some(Answer::Refused(errors))),
                    next => return Poll::Ready(next),
                },
                Phase::Refused(errors) => (Phase::Ended, Some(Answer::Refused(Arc::clone(errors)))),
                Phase::Ended => return Poll::Ready(None),
            };
            // The old phase goes first: it may be the last of its group.
            self.phase = next;
            if answer.is_some() {
                return Poll::Ready(answer);
            }
        }
    }
}

impl Stream for Watch {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        self.poll_answer(cx)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// Joins the group of the request, begins one, or, from too far back for both, catches up first.
fn enter(inner: &Arc<Inner>, recipe: Arc<Recipe>, seq: i64) -> Phase {
    let mut groups = inner.groups();
    let until = if let Some(group) = groups.get(&recipe.key) {
        match group.join(inner, seq) {
            Ok(member) => return Phase::Shared(member),
            Err(start) => start,
        }
    } else {
        let head = inner.hub.head();
        if head - seq <= NEAR {
            let (group, member) = Group::start(inner, Arc::clone(&recipe), seq);
            groups.insert(Arc::clone(&recipe.key), group);
            return Phase::Shared(member);
        }
        head
    };
    drop(groups);
    catch_up(inner, recipe, seq, until)
}

fn catch_up(inner: &Arc<Inner>, recipe: Arc<Recipe>, from: i64, until: i64) -> Phase {
    let begin = Begin::Range { from, until: Some(until) };
    let execution = Execution::new(inner, recipe.request(), begin);
    Phase::CatchingUp { execution, recipe, until }
}
