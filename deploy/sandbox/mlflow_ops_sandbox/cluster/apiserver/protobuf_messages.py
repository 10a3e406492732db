"""The field numbers of generated.proto of the kinds that ``kubectl create`` and Helm send in protobuf.

Written as ``name=number:type``. No type is a string; ``[]`` before it makes a list, ``{}`` a map from strings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name in JSON, its type, and whether there are many of it."""

    name: str
    kind: str = "string"
    """string | int | bool | bytes | Quantity | IntOrString | the name of a message"""
    repeated: bool = False
    mapped: bool = False


_WRITTEN = {
    "ObjectMeta": "name=1 generateName=2 namespace=3 labels=11:{} annotations=12:{} finalizers=14:[]",
    "DeleteOptions": "gracePeriodSeconds=1:int preconditions=2:Preconditions orphanDependents=3:bool "
    "propagationPolicy=4 dryRun=5:[]",
    "Preconditions": "uid=1 resourceVersion=2",
    "ResourceAttributes": "namespace=1 verb=2 group=3 version=4 resource=5 subresource=6 name=7",
    "NonResourceAttributes": "path=1 verb=2",
    "SelfSubjectReview": "metadata=1:ObjectMeta",
    "SelfSubjectAccessReview": "metadata=1:ObjectMeta spec=2:SelfSubjectAccessReviewSpec",
    "SelfSubjectAccessReviewSpec": "resourceAttributes=1:ResourceAttributes "
    "nonResourceAttributes=2:NonResourceAttributes",
    "SelfSubjectRulesReview": "metadata=1:ObjectMeta spec=2:SelfSubjectRulesReviewSpec",
    "SelfSubjectRulesReviewSpec": "namespace=1",
    "SubjectAccessReview": "metadata=1:ObjectMeta spec=2:SubjectAccessReviewSpec",
    "LocalSubjectAccessReview": "metadata=1:ObjectMeta spec=2:SubjectAccessReviewSpec",
    "SubjectAccessReviewSpec": "resourceAttributes=1:ResourceAttributes nonResourceAttributes=2:NonResourceAttributes "
    "user=3 groups=4:[]",
    "TokenReview": "metadata=1:ObjectMeta spec=2:TokenReviewSpec",
    "TokenReviewSpec": "token=1 audiences=2:[]",
    "TokenRequest": "metadata=1:ObjectMeta spec=2:TokenRequestSpec",
    "TokenRequestSpec": "audiences=1:[] expirationSeconds=4:int",
    "Namespace": "metadata=1:ObjectMeta",
    "ServiceAccount": "metadata=1:ObjectMeta",
    "ConfigMap": "metadata=1:ObjectMeta data=2:{} binaryData=3:{}bytes immutable=4:bool",
    "Secret": "metadata=1:ObjectMeta data=2:{}bytes type=3 stringData=4:{} immutable=5:bool",
    "ResourceQuota": "metadata=1:ObjectMeta spec=2:ResourceQuotaSpec",
    "ResourceQuotaSpec": "hard=1:{}Quantity scopes=2:[] scopeSelector=3:ScopeSelector",
    "ScopeSelector": "matchExpressions=1:[]ScopedResourceSelectorRequirement",
    "ScopedResourceSelectorRequirement": "scopeName=1 operator=2 values=3:[]",
    "Service": "metadata=1:ObjectMeta spec=2:ServiceSpec",
    "ServiceSpec": "ports=1:[]ServicePort selector=2:{} clusterIP=3 type=4 externalName=10",
    "ServicePort": "name=1 protocol=2 port=3:int targetPort=4:IntOrString nodePort=5:int",
    "Deployment": "metadata=1:ObjectMeta spec=2:DeploymentSpec",
    "DeploymentSpec": "replicas=1:int selector=2:LabelSelector template=3:PodTemplateSpec minReadySeconds=5:int "
    "revisionHistoryLimit=6:int progressDeadlineSeconds=9:int",
    "LabelSelector": "matchLabels=1:{}",
    "PodTemplateSpec": "metadata=1:ObjectMeta spec=2:PodSpec",
    "PodSpec": "containers=2:[]Container restartPolicy=3 terminationGracePeriodSeconds=4:int dnsPolicy=6 "
    "nodeSelector=7:{} serviceAccountName=8 initContainers=20:[]Container",
    "Container": "name=1 image=2 command=3:[] args=4:[] workingDir=5 ports=6:[]ContainerPort env=7:[]EnvVar "
    "resources=8:ResourceRequirements imagePullPolicy=14",
    "ContainerPort": "name=1 hostPort=2:int containerPort=3:int protocol=4",
    "EnvVar": "name=1 value=2",
    "ResourceRequirements": "limits=1:{}Quantity requests=2:{}Quantity",
    "Job": "metadata=1:ObjectMeta spec=2:JobSpec",
    "JobSpec": "parallelism=1:int completions=2:int activeDeadlineSeconds=3:int template=6:PodTemplateSpec "
    "backoffLimit=7:int ttlSecondsAfterFinished=8:int",
    "CronJob": "metadata=1:ObjectMeta spec=2:CronJobSpec",
    "CronJobSpec": "schedule=1 concurrencyPolicy=3 suspend=4:bool jobTemplate=5:JobTemplateSpec",
    "JobTemplateSpec": "metadata=1:ObjectMeta spec=2:JobSpec",
    "PodDisruptionBudget": "metadata=1:ObjectMeta spec=2:PodDisruptionBudgetSpec",
    "PodDisruptionBudgetSpec": "minAvailable=1:IntOrString selector=2:LabelSelector maxUnavailable=3:IntOrString",
    "Role": "metadata=1:ObjectMeta rules=2:[]PolicyRule",
    "ClusterRole": "metadata=1:ObjectMeta rules=2:[]PolicyRule",
    "PolicyRule": "verbs=1:[] apiGroups=2:[] resources=3:[] resourceNames=4:[] nonResourceURLs=5:[]",
    "RoleBinding": "metadata=1:ObjectMeta subjects=2:[]Subject roleRef=3:RoleRef",
    "ClusterRoleBinding": "metadata=1:ObjectMeta subjects=2:[]Subject roleRef=3:RoleRef",
    "Subject": "kind=1 apiGroup=2 name=3 namespace=4",
    "RoleRef": "apiGroup=1 kind=2 name=3",
    "Ingress": "metadata=1:ObjectMeta spec=2:IngressSpec",
    "IngressSpec": "defaultBackend=1:IngressBackend tls=2:[]IngressTLS rules=3:[]IngressRule ingressClassName=4",
    "IngressTLS": "hosts=1:[] secretName=2",
    "IngressRule": "host=1 ingressRuleValue=2:IngressRuleValue",
    "IngressRuleValue": "http=1:HTTPIngressRuleValue",
    "HTTPIngressRuleValue": "paths=1:[]HTTPIngressPath",
    "HTTPIngressPath": "path=1 backend=2:IngressBackend pathType=3",
    "IngressBackend": "service=4:IngressServiceBackend",
    "IngressServiceBackend": "name=1 port=2:ServiceBackendPort",
    "ServiceBackendPort": "name=1 number=2:int",
}

INLINED = frozenset({"ingressRuleValue"})
"""Messages whose fields stand in JSON beside those of what holds them."""


def _parsed(text: str) -> dict[int, Field]:
    fields: dict[int, Field] = {}
    for part in text.split():
        name, _, rest = part.partition("=")
        number, _, kind = rest.partition(":")
        plain = kind.removeprefix("[]").removeprefix("{}")
        fields[int(number)] = Field(name, plain or "string", kind.startswith("[]"), kind.startswith("{}"))
    return fields


MESSAGES = {name: _parsed(text) for name, text in _WRITTEN.items()}
