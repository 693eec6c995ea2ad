export default { basePath: '/kiln' }
