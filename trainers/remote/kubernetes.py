"""Kubernetes, by kubectl and its current context: files go in and out through a pod that has the claim."""

from __future__ import annotations

from trainers.export.kubernetes import (
    BATCH_JOB,
    CLAIM,
    CLAIM_NAME,
    FILES,
    FILES_POD,
    IMAGE,
    OUT,
    PYTORCH_JOB,
    SECRET,
    SECRET_KEY,
    TRAIN_JOB,
    manifests,
)
from trainers.remote.place import LEFT_THERE, Job, Place, Step, script, token

LONGEST_WAIT = "168h"
"""For a node: a week in a queue."""
_KIND = f"""
served() {{ kubectl api-resources --api-group="$1" --output=name | grep -q "^$2"; }}
if served trainer.kubeflow.org trainjobs; then file={TRAIN_JOB}
elif served kubeflow.org pytorchjobs; then file={PYTORCH_JOB}
elif [ -e {BATCH_JOB} ]; then file={BATCH_JOB}
else echo "several nodes need Kubeflow Trainer or the training operator in the cluster" >&2; exit 1
fi
kubectl delete --ignore-not-found --wait --filename="$file" >&2 && kubectl apply --output=name --filename="$file"
"""
_PODS = {
    "trainjob": "jobset.sigs.k8s.io/jobset-name",
    "pytorchjob": "training.kubeflow.org/job-name",
    "job": "batch.kubernetes.io/job-name",
}
"""Kind -> the label under which its controller lists its pods."""
_OVER = "Complete|Failed|Succeeded"


def _send(job: Job) -> tuple[Step, ...]:
    return (
        script(f"kubectl get pvc {CLAIM_NAME} > /dev/null 2>&1 || kubectl apply --filename={CLAIM}"),
        *_secret(),
        script(
            f"kubectl apply --filename={FILES} && kubectl wait --for=condition=Ready pod/{FILES_POD} --timeout=600s"
        ),
        script(
            f'kubectl exec {FILES_POD} -- mkdir -p "$1" && '
            f'tar -cf - . | kubectl exec --stdin {FILES_POD} -- tar -C "$1" -xf -',
            f"{OUT}/{job.name}",
        ),
    )


def _secret() -> tuple[Step, ...]:
    """The hub's token, when the caller has one: over stdin, so that no list of processes shows it."""
    if not token():
        return ()
    made = (
        f"kubectl create secret generic {SECRET} --from-file={SECRET_KEY}=/dev/stdin --dry-run=client --output=yaml"
    )
    return (script(f"{made} | kubectl apply --filename=-", stdin=token()),)


def _label(identity: str) -> str:
    kind, _, name = identity.partition("/")
    return f"{_PODS.get(kind.partition('.')[0], _PODS['job'])}={name}"


def _follow(job: Job, identity: str) -> Step:
    return script(
        f'kubectl wait --for=create pod --selector="$1" --timeout={LONGEST_WAIT} > /dev/null && '
        f'kubectl wait --for=condition=Ready pod --selector="$1" --timeout={LONGEST_WAIT} > /dev/null; '
        'kubectl logs --follow --selector="$1" --tail=-1 --max-log-requests=64 --ignore-errors',
        _label(identity),
    )


def _alive(job: Job, identity: str) -> Step:
    true = '{.status.conditions[?(@.status=="True")].type}'
    return script(
        f"said=$(kubectl get \"$1\" --output=jsonpath='{true}') || exit 255; "
        f'! grep -qE "(^| )({_OVER})( |$)" <<< "$said"',
        identity,
    )


def _fetch(job: Job, identity: str) -> tuple[Step, ...]:
    packed = f'kubectl exec {FILES_POD} -- tar -C "$1" --exclude=./{LEFT_THERE} -cf - . | tar -C "$2" -xf -'
    return (script(packed, f"{OUT}/{job.name}/run", str(job.run_dir)),)


PLACE = Place(
    target="kubernetes",
    where=f"an image that has what training needs, instead of {IMAGE}, into which it is installed",
    programs=("kubectl", "tar"),
    files=lambda job: manifests(job.plan, job.name, job.where or IMAGE),
    send=_send,
    submit=lambda job: script(_KIND),
    follow=_follow,
    alive=_alive,
    unreachable=255,
    fetch=_fetch,
    cancel=lambda job, identity: Step(command=("kubectl", "delete", identity)),
)
