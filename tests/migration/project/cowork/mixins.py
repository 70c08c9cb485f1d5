import deployutils.apps.django_deployutils.mixins as deployutils_mixins
import deployutils.apps.django_deployutils.mixins.base
from deployutils.apps.django_deployutils import mixins


class ManagedMixin(mixins.AccessiblesMixin):

    redirect_roles = ['manager']


class ProfileMixin(deployutils_mixins.AccountMixin):

    account_url_kwarg = 'profile'
    account_lookup_field = 'slug'


def is_organization_view(view):
    return isinstance(
        view, deployutils.apps.django_deployutils.mixins.base.AccountMixin)
